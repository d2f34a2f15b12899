/* What makes pages handier and is never needed: times in words that stay true, countdowns, search as you type. */
"use strict";

window.ringkey = (function () {
  const UNITS = [[365 * 86400, "years"], [86400, "days"], [3600, "h"], [60, "min"], [1, "s"]];
  const SEARCH_AFTER = 120; // ms without a key

  function span(seconds) {
    for (const [size, unit] of UNITS) {
      if (seconds >= 2 * size || size === 1) {
        return `${Math.max(0, Math.floor(seconds / size))} ${unit}`;
      }
    }
    return "";
  }

  function two(number) {
    return String(number).padStart(2, "0");
  }

  function clock(seconds) {
    const left = Math.max(0, Math.floor(seconds));
    const [days, hours, minutes] = [Math.floor(left / 86400), Math.floor(left / 3600) % 24, Math.floor(left / 60) % 60];
    const text = days || hours ? `${hours}:${two(minutes)}:${two(left % 60)}` : `${minutes}:${two(left % 60)}`;
    return days ? `${days} d ${text}` : text;
  }

  function day(at) {
    return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  }

  function full(at) {
    return `${day(at)} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  }

  function tick(at, dated) {
    const minute = `${two(at.getHours())}:${two(at.getMinutes())}`;
    if (!dated) {
      return `${minute}:${two(at.getSeconds())}`; // of hundreds of columns: without a locale, which is slow
    }
    return `${two(at.getDate())} ${at.toLocaleString("en", { month: "short" })} ${minute}`;
  }

  function words(time, at, now) {
    const left = (at - now) / 1000;
    if (time.hasAttribute("data-tick") || time.hasAttribute("data-tick-dated")) {
      return tick(at, time.hasAttribute("data-tick-dated"));
    }
    if (time.hasAttribute("data-countdown")) {
      return clock(left);
    }
    if (time.hasAttribute("data-full")) {
      return full(at);
    }
    if (time.hasAttribute("data-day")) {
      return day(at);
    }
    return left > 0 ? `in ${span(left)}` : left > -5 ? "just now" : `${span(-left)} ago`;
  }

  function tell() {
    const now = Date.now();
    for (const time of document.querySelectorAll("time[datetime]")) {
      const at = new Date(time.getAttribute("datetime"));
      const text = words(time, at, now);
      if (time.textContent !== text) {
        time.textContent = text;
      }
      const title = `${full(at)} (${Intl.DateTimeFormat().resolvedOptions().timeZone})`;
      if (time.title !== title) {
        time.title = title;
      }
    }
    for (const column of document.querySelectorAll("rect[data-at]:not([data-told])")) {
      const said = column.querySelector("title");
      const at = tick(new Date(Number(column.dataset.at) * 1000), false);
      said.textContent = said.textContent.replace(/^[0-9:]+ UTC/, at);
      column.setAttribute("data-told", "");
    }
  }

  /* Fetch a page of this console and turn this one into it. Returns whether it could. */
  let latest = 0;
  async function patch(url, signal) {
    const mine = ++latest;
    const answer = await fetch(url, { headers: { "X-Patch": "1" }, credentials: "same-origin", signal });
    if (answer.redirected || answer.status === 401 || answer.status === 403) {
      location.reload(); // the session has ended, or the role is another: the server says what there is to see
      return false;
    }
    if (!answer.ok) {
      return false;
    }
    const text = await answer.text();
    if (mine !== latest) {
      return true; // a later answer is on its way
    }
    const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("main");
    if (fresh) {
      window.morph(document.getElementById("main"), fresh);
      tell();
    }
    return true;
  }

  function searching(form) {
    let timer = 0;
    let control = null;
    function run() {
      const query = new URLSearchParams();
      for (const [name, value] of new FormData(form)) {
        if (value) {
          query.append(name, value);
        }
      }
      const text = query.toString();
      const url = form.getAttribute("action") + (text ? `?${text}` : "");
      history.replaceState(null, "", url);
      if (control) {
        control.abort();
      }
      control = new AbortController();
      patch(url, control.signal).catch((error) => {
        if (error.name !== "AbortError") {
          form.submit(); // let the browser say what is wrong
        }
      });
    }
    form.addEventListener("input", (event) => {
      clearTimeout(timer);
      timer = setTimeout(run, event.target.matches("select") ? 0 : SEARCH_AFTER);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      clearTimeout(timer);
      run();
    });
  }

  for (const form of document.querySelectorAll("form[data-search]")) {
    searching(form);
  }
  for (const button of document.querySelectorAll("button[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }
  // A second press would do it twice.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method === "post") {
      if (form.hasAttribute("data-was")) {
        event.preventDefault();
      }
      form.setAttribute("data-was", "sent");
    }
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-was]")) {
      form.removeAttribute("data-was");
    }
  });
  const here = document.querySelector(".main-nav [aria-current]");
  if (here && here.offsetParent && here.closest("nav").scrollWidth > here.closest("nav").clientWidth) {
    here.closest("nav").scrollLeft = here.offsetLeft - 60;
  }
  if (location.hash && location.hash.length > 1) {
    const part = document.getElementById(location.hash.slice(1));
    if (part && part.tabIndex === -1) {
      part.focus({ preventScroll: false });
    }
  }
  tell();
  setInterval(tell, 1000);

  return { patch, full };
})();
