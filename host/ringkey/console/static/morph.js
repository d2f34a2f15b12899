/* Turns one piece of page into another, keeping what a person is at: focus, what is typed, what is open, scroll.
   Elements are the same when they have the same id, or else stand in the same place and are of one kind. */
"use strict";

window.morph = (function () {
  const MINE = new Set(["open"]); // what the person has opened is not the server's to close

  function attributes(old, fresh) {
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value && !(MINE.has(name) && old.localName === "details")) {
        old.setAttribute(name, value);
      }
    }
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !(MINE.has(name) && old.localName === "details") && name !== "data-was") {
        old.removeAttribute(name);
      }
    }
  }

  function alike(old, fresh) {
    return old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && (old.id || "") === (fresh.id || "");
  }

  function put(parent, node, before) {
    if (parent.moveBefore && node.isConnected) {
      parent.moveBefore(node, before); // keeps the focus
      return;
    }
    const focused = document.activeElement;
    const within = focused && node.contains(focused);
    parent.insertBefore(node, before);
    if (within) {
      focused.focus({ preventScroll: true });
    }
  }

  function children(old, fresh) {
    const byId = new Map();
    for (const child of old.children) {
      if (child.id) {
        byId.set(child.id, child);
      }
    }
    let next = old.firstChild;
    for (const wanted of [...fresh.childNodes]) {
      const same = wanted.id ? byId.get(wanted.id) : null;
      if (same && same.nodeName === wanted.nodeName) {
        if (same === next) {
          next = next.nextSibling;
        } else {
          put(old, same, next);
        }
        element(same, wanted);
      } else if (next && !wanted.id && alike(next, wanted)) {
        const now = next;
        next = next.nextSibling;
        element(now, wanted);
      } else {
        const made = document.importNode(wanted, true);
        old.insertBefore(made, next);
        if (made.localName === "tr" && old.hasAttribute("data-rows")) {
          made.classList.add("fresh");
        }
      }
    }
    while (next) {
      const gone = next;
      next = next.nextSibling;
      gone.remove();
    }
  }

  function element(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) {
        old.nodeValue = fresh.nodeValue;
      }
      return;
    }
    if (old.hasAttribute("data-keep") || old.isEqualNode(fresh)) {
      return;
    }
    attributes(old, fresh);
    if (old.localName !== "textarea" && !(old.localName === "select" && old === document.activeElement)) {
      children(old, fresh);
    }
  }

  return element;
})();
