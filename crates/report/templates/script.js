// Filters, links to folded places, theme. The page is complete without it. The filters stand in the fragment of the address
// (#verdict=open&text=web), so that a view can be kept and sent.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const severities = ["info", "low", "medium", "high", "critical"];
  const names = ["text", "verdict", "severity", "kind"];
  const cards = Array.from(document.querySelectorAll("details.subject"), (element) => ({
    element,
    verdict: element.dataset.verdict,
    kind: element.dataset.kind,
    severity: severities.indexOf(element.dataset.severity),
    text: element.dataset.text,
  }));

  function filters() {
    return Object.fromEntries(names.map((name) => [name, byId(name).value.trim()]));
  }

  function apply() {
    const wanted = filters();
    const words = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
    const least = severities.indexOf(wanted.severity);
    let shown = 0;
    for (const card of cards) {
      const fits =
        (!wanted.verdict || card.verdict === wanted.verdict) &&
        (!wanted.kind || card.kind === wanted.kind) &&
        (least < 0 || card.severity >= least) &&
        words.every((word) => card.text.includes(word));
      card.element.hidden = !fits;
      shown += fits;
    }
    byId("shown").textContent = `${shown} of ${cards.length} subjects on this page shown`;
    byId("nothing").hidden = shown > 0 || cards.length === 0;
    for (const button of document.querySelectorAll("[data-set]")) {
      button.setAttribute("aria-pressed", String(Boolean(button.dataset.value) && wanted[button.dataset.set] === button.dataset.value));
    }
  }

  function keep() {
    const set = Object.entries(filters()).filter(([, value]) => value);
    const fragment = new URLSearchParams(set).toString();
    history.replaceState(null, "", fragment ? `#${fragment}` : location.pathname + location.search);
  }

  function read() {
    const fragment = location.hash.slice(1);
    if (!fragment.includes("=")) {
      unfold(fragment);
      return;
    }
    const given = new URLSearchParams(fragment);
    for (const name of names) {
      byId(name).value = given.get(name) ?? "";
    }
  }

  // A link into a folded or filtered place opens it.
  function unfold(id) {
    const target = id && byId(id);
    if (target instanceof HTMLDetailsElement) {
      target.hidden = false;
      target.open = true;
      target.scrollIntoView();
    }
  }

  function changed() {
    apply();
    keep();
  }

  for (const name of names) {
    byId(name).addEventListener("input", changed);
  }
  for (const button of document.querySelectorAll("[data-set]")) {
    button.addEventListener("click", () => {
      const select = byId(button.dataset.set);
      select.value = select.value === button.dataset.value ? "" : button.dataset.value;
      changed();
      byId("subjects").scrollIntoView();
    });
  }
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("clear").addEventListener("click", () => {
    byId("filters").reset();
    changed();
  });
  byId("unfold").addEventListener("click", () => {
    const visible = cards.filter((card) => !card.element.hidden);
    const open = visible.some((card) => !card.element.open);
    for (const card of visible) {
      card.element.open = open;
    }
    byId("unfold").textContent = open ? "Fold all" : "Unfold all";
  });
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
    if (event.key === "/" && !typing) {
      event.preventDefault();
      byId("text").focus();
    }
  });
  // On paper nothing can be unfolded.
  const folded = [];
  addEventListener("beforeprint", () => {
    for (const element of document.querySelectorAll("details:not([open])")) {
      const card = element.closest("details.subject");
      if (!card || !card.hidden) {
        element.open = true;
        folded.push(element);
      }
    }
  });
  addEventListener("afterprint", () => {
    for (const element of folded.splice(0)) {
      element.open = false;
    }
  });
  addEventListener("hashchange", () => {
    read();
    apply();
    unfold(location.hash.slice(1));
  });

  // Of a tall picture the middle says most.
  const picture = document.querySelector(".picture")?.parentElement;
  if (picture) {
    picture.scrollTop = (picture.scrollHeight - picture.clientHeight) / 2;
  }
  byId("filters").hidden = false;
  byId("theme").hidden = false;
  read();
  apply();
  unfold(location.hash.slice(1));
})();
