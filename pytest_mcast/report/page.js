"use strict";
// The address after # is the state of the page: outcome=..&sender=..&text=..&cell=..&theme=..; everything follows from it.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (selector) => document.querySelector(selector);
  const root = document.documentElement;
  const search = one("#text");
  const selects = all(".filters select");
  const outcomes = all(".outcomes button");
  const grids = all(".grid");
  root.classList.add("js");

  // The address of a cell tells its key: FILE::FAMILY/MODE/SENDER/RECEIVER/NAME=VALUE...
  const cells = all(".grid td a").map((link) => {
    const id = decodeURIComponent(link.getAttribute("href").slice(1));
    const [file, rest] = id.slice("cell=".length).split("::");
    const [family, mode, sender, receiver, ...more] = rest.split("/").map((part) => part.split("=").map(decodeURIComponent));
    const key = { file: decodeURIComponent(file), family: family[0], mode: mode[0], sender: sender[0], receiver: receiver[0] };
    const facts = { ...key, ...Object.fromEntries(more), reported: link.dataset.reported ?? "" };
    return { id, link, facts, outcome: link.className, box: link.closest("li") ?? link, place: link.closest("td") };
  });
  const byId = new Map(cells.map((cell) => [cell.id, cell]));
  const names = new Set(cells.flatMap((cell) => Object.keys(cell.facts)));
  let rendered = null; // the address that the page shows
  let shown = cells;
  let trimmed = null; // whether something is hidden; null at the beginning
  let open = null; // the cell whose page is shown
  let goal = null; // what gets the focus when the matrix is back, other than the cell that was shown
  let top = 0; // where the matrix was scrolled to

  const read = () => new URLSearchParams(location.hash.slice(1));
  const address = (state) =>
    "#" + [...state].map((pair) => pair.map((text) => encodeURIComponent(text).replace(/%(2F|3A|3D|40|2C)/g, decodeURIComponent)).join("=")).join("&");

  /** Go to the state that differs in these parameters (null: without it); "replace" leaves nothing to go back to. */
  function go(changes, replace = false, focus = null) {
    goal = focus;
    const state = read();
    if (!open) top = scrollY;
    for (const [name, values] of Object.entries(changes)) {
      state.delete(name);
      for (const value of [values ?? []].flat()) state.append(name, value);
    }
    if (replace) location.replace(address(state));
    else location.hash = address(state);
    render();
  }

  function textOf(cell) {
    return (cell.text ??= document.getElementById(cell.id).textContent.toLowerCase());
  }

  function filter(state) {
    const wanted = new Set(state.getAll("outcome"));
    const words = (state.get("text") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    const facets = [...state].filter(([name]) => names.has(name));
    const counts = {};
    shown = [];
    for (const cell of cells) {
      const fits = facets.every(([name, value]) => cell.facts[name] === value) && words.every((word) => textOf(cell).includes(word));
      if (fits) counts[cell.outcome] = (counts[cell.outcome] ?? 0) + 1;
      cell.box.hidden = !(fits && (!wanted.size || wanted.has(cell.outcome)));
      if (!cell.box.hidden) shown.push(cell);
    }
    for (const button of outcomes) {
      button.setAttribute("aria-pressed", wanted.has(button.className));
      button.firstElementChild.textContent = counts[button.className] ?? 0;
      button.toggleAttribute("data-none", !counts[button.className]);
    }
    const narrow = shown.length < cells.length;
    if (narrow || trimmed) {
      all(".grids summary").forEach((summary) => recount(summary, narrow));
      grids.forEach(trim);
      for (const box of all(".grids > *, main section")) box.hidden = !box.querySelector(".grid td:not(.none)");
    }
    if (narrow || trimmed !== false) for (const table of grids) rove(stops(table)[0]);
    trimmed = narrow;
    for (const select of selects) select.value = state.get(select.name) ?? "";
    if (search !== document.activeElement) search.value = state.get("text") ?? "";
    const active = [...wanted, ...facets.map(([name, value]) => `${name} ${value}`), ...words.map((word) => `"${word}"`)];
    one("#count").textContent = active.length ? `${shown.length} of ${cells.length} cells: ${active.join(", ")}` : `${cells.length} cells`;
    one("#clear").hidden = !active.length;
  }

  /** Have a summary say how many of the cells behind it are shown, by outcome. */
  function recount(summary, narrow) {
    const visible = all("td a", summary.parentElement).filter((link) => !(link.closest("li") ?? link).hidden);
    for (const count of all("b", summary)) {
      const number = visible.filter((link) => link.className === count.className).length;
      count.hidden = !number;
      count.firstElementChild.textContent = number;
    }
    if (summary.parentElement.matches(".fold") && narrow && visible.length) summary.parentElement.open = true;
  }

  /** Hide the rows and columns of a table in which nothing is left. */
  function trim(table) {
    const used = new Set();
    for (const row of table.tBodies[0].rows) {
      row.hidden = true;
      for (const place of all("td", row)) {
        const empty = !place.querySelector("li:not([hidden]), :scope > a:not([hidden])");
        place.classList.toggle("none", empty);
        if (place.firstElementChild) place.firstElementChild.hidden = empty;
        if (!empty) row.hidden = !used.add(place.cellIndex);
      }
    }
    for (const row of table.rows) for (const place of row.cells) place.hidden = place.cellIndex > 0 && !used.has(place.cellIndex);
  }

  // Keyboard: one stop of each table is in the order of Tab, the arrows move it.
  const stops = (table) => all(":is(td:not(.none) > a, td:not(.none) > details > summary, td:not(.none) > details[open] li:not([hidden]) > a)", table);
  function rove(stop) {
    if (!stop) return;
    for (const other of all("td :is(a, summary)", stop.closest("table"))) other.tabIndex = -1;
    stop.tabIndex = 0;
  }

  function move(from, key) {
    const place = from.closest("td");
    const table = place.closest("table");
    const column = (stop) => stop.closest("td").cellIndex;
    let next;
    if (key === "ArrowLeft" || key === "ArrowRight" || key === "Home" || key === "End") {
      const row = stops(table).filter((stop) => stop.closest("tr") === place.parentElement && stop.parentElement.matches("td, td > details"));
      const at = row.findIndex((stop) => column(stop) === place.cellIndex);
      next = { ArrowLeft: row[at - 1], ArrowRight: row[at + 1], Home: row[0], End: row.at(-1) }[key];
    } else {
      const step = key === "ArrowDown" ? 1 : -1;
      const beside = (other) => stops(other).filter((stop) => column(stop) === place.cellIndex);
      const list = beside(table);
      next = list[list.indexOf(from) + step];
      const tables = grids.filter((other) => !other.closest("details:not([open])"));
      for (let other = tables.indexOf(table) + step; !next && tables[other]; other += step) {
        const candidates = beside(tables[other]).length ? beside(tables[other]) : stops(tables[other]);
        next = candidates.at(step > 0 ? 0 : -1);
      }
    }
    next?.focus();
  }

  function show(state) {
    const id = state.has("cell") ? "cell=" + state.get("cell") : null;
    const cell = byId.get(id) ?? null;
    one("#unknown").hidden = !id || cell !== null;
    if (cell === open) return;
    document.getElementById(open?.id)?.classList.remove("open");
    document.body.classList.toggle("reading", cell !== null);
    if (cell) {
      const page = document.getElementById(cell.id);
      const at = shown.indexOf(cell);
      page.classList.add("open");
      page.tabIndex = -1;
      page.querySelector(".repeat").append(one("#copy"));
      for (const [name, other] of [["previous", shown[at - 1]], ["next", at < 0 ? undefined : shown[at + 1]]]) {
        const link = one("#" + name);
        link.hidden = !other;
        if (other) link.setAttribute("href", other.link.getAttribute("href"));
      }
      one("#position").textContent = at < 0 ? "" : `${at + 1} of ${shown.length}`;
      scrollTo(0, 0);
      page.focus({ preventScroll: true });
    } else {
      scrollTo(0, top);
      for (let fold = open.link.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
      rove(open.link);
      (goal ?? open.link).focus();
      goal = null;
    }
    open = cell;
  }

  function render() {
    if (location.hash === rendered) return;
    rendered = location.hash;
    const state = read();
    root.dataset.theme = ["dark", "light"].includes(state.get("theme")) ? state.get("theme") : "";
    one("#theme").textContent = `Theme: ${root.dataset.theme || "auto"}`;
    filter(state);
    show(state);
  }

  addEventListener("hashchange", render);
  addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault(); // what else the address says stays
    go(Object.fromEntries([["cell", null], ...new URLSearchParams(link.getAttribute("href").slice(1))]));
  });
  for (const button of outcomes)
    button.addEventListener("click", () => {
      const wanted = new Set(read().getAll("outcome"));
      if (!wanted.delete(button.className)) wanted.add(button.className);
      go({ outcome: [...wanted] });
    });
  for (const select of selects) select.addEventListener("change", () => go({ [select.name]: select.value || null }));
  search.addEventListener("input", () => go({ text: search.value || null }, true));
  one("#clear").addEventListener("click", () => go(Object.fromEntries(["outcome", "text", ...names].map((name) => [name, null]))));
  one("#theme").addEventListener("click", () => go({ theme: { "": "dark", dark: "light", light: null }[root.dataset.theme] }));
  one("#keys").addEventListener("click", () => one("dialog").showModal());
  one("#copy").addEventListener("click", (event) => {
    getSelection().selectAllChildren(event.target.parentElement.querySelector("code"));
    event.target.textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl+C"; // navigator.clipboard is not there over http
  });
  addEventListener("focusin", (event) => event.target.closest(".grid td") && rove(event.target));
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || one("dialog").open) return;
    const { key, target } = event;
    const typing = target.matches("input, select");
    if (key === "Escape" && target === search) target.blur();
    else if (key === "Escape" && open) go({ cell: null });
    else if (typing) return;
    else if (key === "/") open ? go({ cell: null }, false, search) : search.focus();
    else if (key === "?") one("dialog").showModal();
    else if (open && key === "ArrowLeft") one("#previous:not([hidden])")?.click();
    else if (open && key === "ArrowRight") one("#next:not([hidden])")?.click();
    else if (/^(Arrow|Home|End)/.test(key) && target.closest(".grid td")) move(target, key);
    else return;
    event.preventDefault();
  });
  render();
})();
