// What HTML cannot do: times in the viewer's zone, copy buttons, parts that unfold, and links out of Airflow's frame.
(() => {
  "use strict";

  // The zone chosen in Airflow, else that of the browser.
  const zone = (() => {
    try {
      const chosen = localStorage.getItem("timezone");
      if (chosen) { new Intl.DateTimeFormat("en", { timeZone: chosen }); return chosen; }
    } catch { /* not a zone, or storage is blocked */ }
    return undefined;
  })();
  const format = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" });
  const clock = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, timeStyle: "medium" });
  const inZone = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (!Number.isNaN(at.valueOf())) time.textContent = (time.hasAttribute("data-clock") ? clock : format).format(at);
    }
  };

  // A screen reader hears how far the job is, each ten percent.
  const say = () => {
    const live = document.querySelector("[data-say]"), said = document.getElementById("said");
    if (live && said && said.dataset.last !== live.dataset.say) {
      if (said.dataset.last !== undefined) said.textContent = live.dataset.say;
      said.dataset.last = live.dataset.say;
    }
  };

  // What was unfolded stays so when the page is refreshed.
  const open = new Set();
  const unfold = (button, shown) => {
    const parts = document.getElementById(button.getAttribute("aria-controls"));
    button.setAttribute("aria-expanded", String(shown));
    if (parts) parts.hidden = !shown;
  };
  const fold = (root) => {
    for (const button of root.querySelectorAll("[data-parts]")) unfold(button, open.has(button.getAttribute("aria-controls")));
  };

  const ready = (root) => { inZone(root); fold(root); say(); };

  // The frame that Airflow shows this page in may not navigate Airflow, but may ask its router to.
  const outside = (link) => {
    try {
      if (parent === window || parent.location.origin !== location.origin) return false;
      const url = new URL(link.href);
      parent.history.pushState({ idx: (parent.history.state?.idx ?? 0) + 1 }, "", url.pathname + url.search);
      parent.dispatchEvent(new PopStateEvent("popstate", { state: parent.history.state }));
      return true;
    } catch { return false; }
  };

  const copy = async (button) => {
    const source = button.parentElement.querySelector("pre, code");
    try { await navigator.clipboard.writeText(source.textContent); } catch {
      const range = document.createRange();
      range.selectNodeContents(source);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy"); // over plain http there is no clipboard API
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  };

  document.addEventListener("click", (event) => {
    const target = event.target.closest("a.airflow, [data-copy], [data-parts]");
    if (!target) return;
    if (target.matches("a.airflow")) { if (!event.ctrlKey && !event.metaKey && outside(target)) event.preventDefault(); return; }
    if (target.matches("[data-copy]")) { copy(target); return; }
    const id = target.getAttribute("aria-controls"), shown = !open.has(id);
    if (shown) open.add(id); else open.delete(id);
    unfold(target, shown);
  });

  // Dialogs of the browser are blocked in Airflow's frame, so the button itself asks.
  document.addEventListener("submit", (event) => {
    const form = event.target, button = form.querySelector("button"), question = form.dataset.confirm;
    if (!question || form.dataset.asked) return;
    event.preventDefault();
    form.dataset.asked = "yes";
    const note = document.createElement("span"), label = button.textContent, name = button.getAttribute("aria-label");
    note.className = "question";
    note.setAttribute("role", "alert");
    note.textContent = question;
    form.prepend(note);
    button.textContent = "Yes, " + label.toLowerCase();
    button.removeAttribute("aria-label"); // the question before it names what it is about
    const no = document.createElement("button");
    no.type = "button";
    no.className = "button button-plain";
    no.textContent = "No";
    no.addEventListener("click", () => { note.remove(); no.remove(); button.textContent = label; if (name) button.setAttribute("aria-label", name); delete form.dataset.asked; button.focus(); });
    form.append(no);
    no.focus();
  });

  // Nothing is replaced while somebody marks text in it, or answers a question.
  document.addEventListener("htmx:beforeRequest", (event) => {
    const target = event.detail.target, marked = getSelection();
    const busy = (marked && !marked.isCollapsed && target.contains(marked.anchorNode)) || target.querySelector("[data-asked]");
    if (busy && event.detail.requestConfig.triggeringEvent?.type !== "input" && target.hasAttribute("hx-trigger")) event.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, target } = event.detail;
    if (xhr.status >= 400 && target.id !== "found" && target.id !== "contents-found") {
      event.detail.shouldSwap = false; // the page stays, and says why it is no longer refreshed
      const said = document.getElementById("said");
      said.className = "stale";
      said.textContent = xhr.status === 401 ? "You are logged out. Log in to Airflow and reload this page." : "This page could not be refreshed (" + xhr.status + "). It tries again.";
    }
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.xhr.status < 400) { const said = document.getElementById("said"); if (said.className === "stale") { said.className = "sr"; said.textContent = ""; } }
  });
  document.addEventListener("htmx:load", (event) => ready(event.detail.elt.parentElement ?? document));

  // The form: relations are searched while one types; the URL is asked for only if the archive is uploaded.
  const form = document.getElementById("start");
  if (form) {
    const names = document.getElementById("names"), counted = document.getElementById("names-count");
    const count = () => {
      const chosen = names.querySelectorAll("input:checked").length;
      counted.textContent = chosen ? chosen + " chosen" : "";
    };
    const show = () => {
      document.getElementById("chosen").hidden = form.querySelector("[name=which]:checked").value !== "chosen";
      const upload = form.elements.after_export.value === "upload";
      for (const name of ["upload_url", "upload_http_method"]) document.getElementById("field-" + name).hidden = !upload;
    };
    document.getElementById("relation-search").addEventListener("input", (event) => {
      const wanted = event.target.value.trim().toLowerCase();
      for (const label of names.children) label.hidden = !label.textContent.toLowerCase().includes(wanted);
    });
    document.getElementById("relation-search").addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
    form.addEventListener("change", () => { show(); count(); });
    form.addEventListener("submit", () => { form.querySelector("button").disabled = true; });
    addEventListener("pageshow", () => { form.querySelector("button").disabled = false; show(); count(); });
    show();
    count();
  }
  (document.querySelector("[aria-invalid=true]") ?? document.createElement("i")).focus();
  ready(document);
})();
