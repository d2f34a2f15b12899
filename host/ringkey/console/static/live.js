/* Keeps the page as the servers are: hears of changes at /live, fetches this page again, and changes what differs.
   Says it when the console no longer answers. */
"use strict";

(function () {
  const main = document.getElementById("main");
  const wanted = main.getAttribute("data-live"); // null: a page that does not move; an extension; or what it shows
  const link = document.getElementById("link");
  const lost = document.getElementById("lost");
  const GRACE = 2000; // ms without the server before it is said
  const SILENCE = 25000; // ms without a beat, of which there is one in 10 s
  const LEAST = 2000; // ms between two looks, and how many times what the last one took
  const TIMES = 20;
  const MOST = 10000; // ms that nobody waits longer, however slow a look was: one slow look says little
  const HIDDEN = 15000; // ms that a page is out of sight before it stops to listen

  let source = null;
  let heard = Date.now();
  let seen = Date.now(); // when what is shown was so
  let timer = 0;
  let busy = false;
  let again = false;
  let took = 0;
  let last = 0;
  let sinceLost = 0;
  let retry = 0;
  let away = 0;

  function say(kind, words) {
    if (link.className !== `link ${kind}`) {
      link.className = `link ${kind}`;
    }
    const text = link.querySelector(".words");
    if (text.textContent !== words) {
      text.textContent = words;
    }
  }

  function live() {
    heard = Date.now();
    sinceLost = 0;
    retry = 0;
    say("live", "Live");
    if (!lost.hidden) {
      lost.hidden = true;
      lost.textContent = "";
    }
  }

  function gone() {
    sinceLost = sinceLost || Date.now();
    if (Date.now() - sinceLost < GRACE) {
      return;
    }
    say("gone", "Not connected");
    if (lost.hidden) {
      lost.textContent = `The console does not answer. What you see is as it was at ${window.ringkey.full(new Date(seen))}. This page keeps trying.`;
      lost.hidden = false;
    }
  }

  function concerns(data) {
    if (wanted === null) {
      return false;
    }
    if (data.changed) {
      return true;
    }
    if (/^[0-9]+$/.test(wanted)) {
      return data.phones === "many" || (Array.isArray(data.phones) && data.phones.includes(wanted));
    }
    return wanted !== "quiet";
  }

  function look() {
    if (timer || document.hidden) {
      again = again || document.hidden;
      return;
    }
    if (busy) {
      again = true;
      return;
    }
    // Many consoles shall not ask at the same moment, nor any without a pause.
    const pause = Math.min(MOST, Math.max(LEAST, TIMES * took));
    const wait = Math.max(0, last + pause - Date.now());
    timer = setTimeout(run, wait && wait + Math.random() * 300);
  }

  async function run() {
    timer = 0;
    busy = true;
    const began = Date.now();
    try {
      if (await window.ringkey.patch(location.href)) {
        seen = began;
      }
    } catch (error) {
      gone();
    }
    took = Date.now() - began;
    last = Date.now();
    busy = false;
    if (again) {
      again = false;
      look();
    }
  }

  function listen() {
    if (source) {
      return;
    }
    source = new EventSource("/live");
    source.addEventListener("open", () => {
      const late = sinceLost;
      live();
      if (late && wanted !== null) {
        look(); // what happened meanwhile
      }
    });
    source.addEventListener("beat", live);
    source.addEventListener("change", (event) => {
      live();
      if (concerns(JSON.parse(event.data))) {
        look();
      }
    });
    for (const name of ["reload", "lost", "back"]) {
      source.addEventListener(name, () => {
        live();
        if (wanted !== null) {
          look();
        }
      });
    }
    source.addEventListener("bye", () => {
      close();
      location.assign("/login");
    });
    source.addEventListener("error", () => {
      gone();
      if (source && source.readyState === EventSource.CLOSED) {
        source = null;
        retry = Math.min(15000, (retry || 1000) * 1.7);
        setTimeout(listen, retry);
      }
    });
  }

  function close() {
    if (source) {
      source.close();
      source = null;
    }
  }

  setInterval(() => {
    if (source && !document.hidden && Date.now() - heard > SILENCE) {
      close();
      sinceLost = sinceLost || heard;
      listen();
    }
    if (sinceLost) {
      gone();
    } else if (wanted !== null && source) {
      seen = Math.max(seen, heard);
    }
  }, 1000);

  // A browser has six connections to a server for all its tabs: one that nobody looks at gives its own back.
  document.addEventListener("visibilitychange", () => {
    clearTimeout(away);
    if (document.hidden) {
      away = setTimeout(close, HIDDEN);
      return;
    }
    heard = Date.now();
    if (!source) {
      listen();
      again = true;
    }
    if (again && wanted !== null) {
      again = false;
      look();
    }
  });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) {
      location.reload();
    }
  });
  listen();
})();
