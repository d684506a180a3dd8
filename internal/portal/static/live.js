// Loads the page again when the server says that something has changed, and
// swaps the parts that are marked for it. Without this script the page works
// as well; it is then loaded again by hand.
"use strict";
(() => {
  const stream = document.body.dataset.stream;
  if (!stream || !window.EventSource) return;
  let busy = false, again = false;

  const swap = (old, fresh) => {
    if (old.innerHTML === fresh.innerHTML) return;
    const active = document.activeElement;
    if (old.contains(active) && active.matches("input, textarea, select")) return;
    const focus = old.contains(active) ? active.id : "";
    const open = new Map([...old.querySelectorAll("details[id]")].map((d) => [d.id, d.open]));
    fresh.querySelectorAll("details[id]").forEach((d) => { if (open.has(d.id)) d.open = open.get(d.id); });
    old.replaceChildren(...fresh.childNodes);
    if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
  };

  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.querySelectorAll("[data-live]").forEach((old) => {
        const fresh = page.getElementById(old.id);
        if (fresh) swap(old, fresh);
      });
    } catch { /* the next event tries again */ } finally { busy = false; }
    if (again) { again = false; refresh(); }
  };
  new EventSource(stream).addEventListener("refresh", refresh);
})();
