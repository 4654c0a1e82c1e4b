// Live parts of a page: the server sends a part's new HTML, or more of a log, whenever there is some.
// Without this file the pages are complete and refresh themselves.
"use strict";

(() => {
  const address = document.body.dataset.live;
  if (!address || !window.EventSource) return;
  const log = document.getElementById("log");
  const PAUSE = 10000;
  let source = null;
  let position = null;
  let again = 0;

  // Only what differs is replaced, so that a selection, a focus or an opened tooltip elsewhere stays.
  const morph = (from, to) => {
    if (from.isEqualNode(to)) return;
    const same = from.nodeType === 1 && to.nodeType === 1 && from.tagName === to.tagName;
    if (!same || from.childNodes.length !== to.childNodes.length) {
      from.replaceWith(to.cloneNode(true));
      return;
    }
    for (const { name } of [...from.attributes]) if (!to.hasAttribute(name)) from.removeAttribute(name);
    for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
    [...from.childNodes].forEach((child, index) => morph(child, to.childNodes[index]));
  };

  const showPart = (event) => {
    const { id, html } = JSON.parse(event.data);
    const part = document.getElementById(id);
    if (!part) return;
    const next = part.cloneNode(false);
    next.innerHTML = html;
    if (next.childNodes.length === part.childNodes.length) morph(part, next);
    else part.replaceChildren(...next.childNodes);
  };

  const showLog = (event) => {
    position = event.lastEventId;
    if (!log) return;
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 24;
    log.append(JSON.parse(event.data).text);
    if (atEnd) log.scrollTop = log.scrollHeight;
  };

  const disconnect = () => {
    clearTimeout(again);
    if (source) source.close();
    source = null;
  };

  const connect = () => {
    if (source || document.hidden) return;
    const target = new URL(address, location.href);
    if (position) target.searchParams.set("log", position);
    source = new EventSource(target);
    source.addEventListener("part", showPart);
    source.addEventListener("log", showLog);
    source.addEventListener("open", () => { document.body.dataset.connection = "open"; });
    source.addEventListener("error", () => {
      document.body.dataset.connection = "lost";
      if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
      disconnect();
      again = setTimeout(connect, PAUSE);
    });
  };

  // A browser has six connections to a host: a page that nobody looks at gives its one back.
  document.addEventListener("visibilitychange", () => { if (document.hidden) disconnect(); else connect(); });
  window.addEventListener("pagehide", disconnect);
  window.addEventListener("pageshow", connect);
  if (log) log.scrollTop = log.scrollHeight;
  connect();
})();
