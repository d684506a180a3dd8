// Shows what a form means while it is filled in: the server is asked with what
// stands in it, and only the preview is swapped. Without this script a button
// asks the same.
"use strict";
(() => {
  const form = document.querySelector("form[data-preview]"), shown = document.getElementById("preview");
  if (!form || !shown) return;
  let timer = 0, asked = 0;
  const show = async () => {
    const mine = ++asked, body = new URLSearchParams(new FormData(form));
    body.set("do", "preview");
    try {
      const answer = await fetch(form.getAttribute("action"), { method: "POST", body });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("preview");
      if (mine === asked && fresh) shown.replaceChildren(...fresh.childNodes);
    } catch { /* the next change tries again */ }
  };
  form.addEventListener("input", (event) => {
    if (shown.contains(event.target)) return;
    clearTimeout(timer);
    timer = setTimeout(show, 250);
  });
})();
