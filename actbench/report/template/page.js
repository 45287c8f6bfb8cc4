"use strict";
// What the page can do beyond being read: sort and filter tables, switch configurations off, tell values, copy commands.
// Everything that can be clicked for this is made here, so that there is no dead button without JavaScript.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const plain = (text) => text.replace(/\s+/g, " ").trim();

  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  function makeButton(text, clicked) {
    const button = make("button", { type: "button", textContent: text });
    button.addEventListener("click", clicked);
    return button;
  }

  // ---------------------------------------------------------------- tables

  const NUMBER = /^[<>≤≥≈~±]?\s*([+−-]?\d[\d,]*(?:\.\d+)?(?:[eE][+−-]?\d+)?)([kMG](?!\w))?/;
  const DATE = /^\d{4}-\d{2}-\d{2}/;
  const PARTS = /(\d+(?:\.\d+)?(?:e[+-]?\d+)?)/i; // every second part of a text that is split by it is a number
  const SIZES = { k: 1e3, M: 1e6, G: 1e9 };

  // The number that a cell starts with: 97.68 of "97.68 ± 0.40", −0.48, 1234 of "1,234", 407000 of "407k".
  function numberOf(text) {
    if (DATE.test(text)) return NaN; // as text, dates are in their order
    const found = NUMBER.exec(text);
    return found ? Number(found[1].replaceAll(",", "").replaceAll("−", "-")) * (SIZES[found[2]] ?? 1) : NaN;
  }

  // Two texts in the order of their words and numbers: "lr=0.012" is before "lr=0.1", "hidden9" before "hidden10".
  function inOrder(one, other) {
    const [these, those] = [one, other].map((text) => text.split(PARTS));
    for (let place = 0; place < Math.min(these.length, those.length); place++) {
      const numbers = [Number(these[place]), Number(those[place])];
      const apart = place % 2 ? numbers[0] - numbers[1] : these[place].localeCompare(those[place]);
      if (apart) return apart;
    }
    return these.length - those.length;
  }

  // The rows by one column; cells without a value, or without a number among numbers, are last in either direction.
  function sorted(rows, column, direction) {
    const texts = new Map(rows.map((row) => [row, plain(row.cells[column].textContent)]));
    const numbers = new Map(rows.map((row) => [row, numberOf(texts.get(row))]));
    const filled = rows.filter((row) => texts.get(row) !== "" && texts.get(row) !== "–");
    const numeric = filled.filter((row) => !Number.isNaN(numbers.get(row)));
    const byNumber = numeric.length > filled.length / 2;
    const first = byNumber ? numeric : filled;
    const compare = byNumber
      ? (one, other) => numbers.get(one) - numbers.get(other)
      : (one, other) => inOrder(texts.get(one), texts.get(other));
    const ordered = [...first].sort((one, other) => direction * compare(one, other));
    return [...ordered, ...rows.filter((row) => !first.includes(row))];
  }

  const PAGE = 100; // rows of a long table that are added at once

  // The rows that are not on the page yet: each is the word of its mark, then its cells.
  async function unpacked(script, table) {
    const bytes = Uint8Array.from(atob(script.textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const heads = table.classList.contains("text") ? all("thead th", table).map((head) => plain(head.textContent)) : null;
    return (await new Response(stream).json()).map(([mark, ...cells]) => {
      const row = make("tr", { className: mark });
      cells.forEach((text, column) => {
        const cell = make("td", {}, column && /^actbench \S/.test(text) ? make("code", { textContent: text }) : text);
        if (heads) cell.dataset.head = heads[column];
        row.append(cell);
      });
      return row;
    });
  }

  // Sorts by a heading, and shows the rows that are asked for by the words in a field above, and that are not of a
  // configuration that is off. Of a long table as many as were asked for; all of them are searched and sorted.
  function equipTable(table, off) {
    const body = table.tBodies[0];
    const box = table.closest(".scroll");
    const script = nextScript(box);
    let rows = [...body.rows];
    let ordered = rows;
    let limit = PAGE;
    let loading = null;
    const total = rows.length + (script ? Number(script.previousElementSibling.dataset.rows) : 0);
    const field = make("input", { type: "search", placeholder: "filter rows" });
    const said = make("span", { role: "status" });
    const more = makeButton("", async () => {
      limit += PAGE;
      await load();
      update();
    });

    const load = () =>
      (loading ??= script
        ? unpacked(script, table).then((rest) => {
            rows = [...rows, ...rest];
            ordered = rows;
          })
        : Promise.resolve());

    const update = () => {
      const words = plain(field.value).toLowerCase().split(" ");
      for (const row of rows) {
        const text = plain(row.textContent).toLowerCase();
        row.hidden = off.has(plain(row.cells[0].textContent)) || !words.every((word) => text.includes(word));
      }
      const found = ordered.filter((row) => !row.hidden);
      if (script) body.replaceChildren(...found.slice(0, limit));
      const unseen = loading ? found.length - limit : total - rows.length;
      more.hidden = !script || unseen <= 0;
      more.textContent = `${Math.min(PAGE, unseen)} more of ${unseen.toLocaleString("en")} rows`;
      const all = !loading && script ? found.length + total - rows.length : found.length;
      said.textContent = all < total ? `${all} of ${total} rows` : "";
    };

    const heads = all("thead th", table);
    const sort = (head, column) => {
      const next = { ascending: "descending", descending: "" }[head.getAttribute("aria-sort")] ?? "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (next) head.setAttribute("aria-sort", next);
      ordered = next ? sorted(rows, column, next === "ascending" ? 1 : -1) : rows;
      if (script) update();
      else body.append(...ordered);
    };
    if (total > 1) {
      heads.forEach((head, column) => {
        const button = makeButton("", () => (script ? load().then(() => sort(head, column)) : sort(head, column)));
        button.title = "sort: up, down, as it was";
        button.append(...head.childNodes);
        head.append(button);
      });
    }
    field.setAttribute("aria-label", "filter rows");
    field.addEventListener("input", () => (script ? load().then(update) : update()));
    box.before(make("div", { className: "filter" }, ...(total > 5 ? [field, said] : [said])));
    if (script) script.previousElementSibling.replaceChildren(more);
    return update;
  }

  // That of a table in its box, behind the line that says how many rows there are.
  function nextScript(box) {
    const script = box.nextElementSibling?.nextElementSibling;
    return script?.matches("script.rest") && "DecompressionStream" in window ? script : null;
  }

  function equipTables(within, off) {
    return all("table", within).map((table) => equipTable(table, off));
  }

  // ---------------------------------------------------------------- configurations that can be switched off

  function makeSwitches(part, list, off, changed) {
    const names = all("li", list).map((item) => plain(item.textContent));
    const said = make("span", { role: "status" });
    const every = Number(list.dataset.all); // more than there are switches, where pictures show only some
    const rest = every > names.length ? `, of ${every.toLocaleString("en")} in all` : "";
    const show = (hidden) => {
      off.clear();
      hidden.forEach((name) => off.add(name));
      names.forEach((name, number) => switches[number].setAttribute("aria-pressed", String(!off.has(name))));
      said.textContent = `${names.length - off.size} of ${names.length} shown${rest}`;
      changed();
    };
    const only = (name) => show(names.filter((other) => other !== name));
    const switches = names.map((name) => {
      const button = makeButton(name, (event) => {
        if (event.altKey) only(name);
        else show(off.has(name) ? [...off].filter((other) => other !== name) : [...off, name]);
      });
      button.title = "click: on or off; double click: only this one";
      button.addEventListener("dblclick", () => only(name));
      return button;
    });
    const both = [makeButton("all", () => show([])), makeButton("none", () => show(names))];
    const group = make("div", { role: "group" }, ...both, ...switches);
    group.setAttribute("aria-label", "configurations that are shown");
    const note = make("p", { className: "soft", textContent: "What is off is pale in the pictures, and not in the tables." });
    const fold = make("details", { className: "switches" }, make("summary", {}, rest ? "Configurations in pictures: " : "Configurations: ", said), group, note);
    fold.open = names.length <= 8 && window.matchMedia("(min-width: 40rem)").matches;
    list.replaceWith(fold);
    const keepClear = () => (document.documentElement.style.scrollPaddingTop = `${fold.offsetHeight}px`); // it stays there
    new ResizeObserver(keepClear).observe(fold);
    show([]);
    keepClear();
  }

  function equipPart(part) {
    const off = new Set();
    const updates = equipTables(part, off);
    const series = all("svg [data-series]", part);
    const panels = all("svg .axes", part).map((axes) => ({ axes, of: all("[data-series]", axes) }));
    const changed = () => {
      for (const one of series) one.classList.toggle("off", off.has(plain(one.dataset.series)));
      for (const { axes, of } of panels) axes.classList.toggle("off", of.length > 0 && of.every((one) => one.matches(".off")));
      updates.forEach((update) => update());
    };
    const list = part.querySelector(".names");
    if (list) makeSwitches(part, list, off, changed);
  }

  // ---------------------------------------------------------------- values of points

  const REACH = 24; // pixels from the pointer
  const tip = make("div", { id: "tip", role: "status" });
  let told = [];

  function tell(points, x, y) {
    told.forEach((point) => point.circle.classList.remove("on"));
    told = points;
    points.forEach((point) => point.circle.classList.add("on"));
    tip.textContent = [...new Set(points.map((point) => point.circle.dataset.tip))].slice(0, 6).join("\n");
    if (!points.length) return;
    const { width, height } = tip.getBoundingClientRect();
    const left = Math.max(8, Math.min(x + 12, document.documentElement.clientWidth - width - 8));
    tip.style.transform = `translate(${left}px, ${y - height - 12 < 0 ? y + 16 : y - height - 12}px)`;
  }

  function equipPicture(svg) {
    const points = all(".tips circle", svg).map((circle) => {
      const title = circle.querySelector("title"); // of browsers without JavaScript: it would be told twice
      circle.dataset.tip = title.textContent;
      title.remove();
      return { circle, x: Number(circle.getAttribute("cx")), y: Number(circle.getAttribute("cy")) };
    });
    if (!points.length) return;
    const onScreen = () => {
      const matrix = svg.getScreenCTM();
      const seen = points.filter((point) => !point.circle.closest(".off"));
      return seen.map((point) => ({ ...point, x: point.x * matrix.a + matrix.e, y: point.y * matrix.d + matrix.f }));
    };
    const near = (places, { x, y }, reach) => places.filter((point) => Math.hypot(point.x - x, point.y - y) <= reach);
    const pointed = (event) => {
      const places = onScreen();
      const pointer = { x: event.clientX, y: event.clientY };
      const distance = (point) => Math.hypot(point.x - pointer.x, point.y - pointer.y);
      const nearest = near(places, pointer, REACH).reduce((a, b) => (a && distance(a) <= distance(b) ? a : b), null);
      tell(nearest ? near(places, nearest, 2) : [], pointer.x, pointer.y);
    };
    let current = -1;
    const step = (by) => {
      const places = onScreen();
      if (!places.length) return;
      current = (current + by + places.length) % places.length;
      places[current].circle.scrollIntoView({ block: "nearest", inline: "nearest" });
      const moved = onScreen()[current];
      tell([moved], moved.x, moved.y);
    };
    svg.setAttribute("tabindex", "0");
    svg.setAttribute("aria-description", "arrow keys tell the values of its points");
    svg.addEventListener("pointermove", pointed);
    svg.addEventListener("pointerdown", pointed);
    svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && tell([]));
    svg.addEventListener("blur", () => tell([]));
    svg.addEventListener("focus", () => svg.matches(":focus-visible") && step(current < 0 ? 1 : 0));
    svg.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") tell([]);
      if (!by) return;
      event.preventDefault();
      step(by);
    });
  }

  // ---------------------------------------------------------------- commands that can be copied

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const area = make("textarea", { value: text }); // where a file may not use the clipboard
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  }

  function equipCommand(element) {
    const command = element.textContent.trim();
    const sketch = element.closest(".note") && /(^| )[A-Z]+( |$)/.test(command); // `actbench list CODE` is no command yet
    if (sketch || !/^(actbench|tensorboard) /.test(command)) return;
    const button = makeButton("Copy", async () => {
      button.textContent = (await copy(command)) ? "Copied" : "Select it, and press Ctrl+C";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    button.className = "copy";
    button.setAttribute("aria-label", `copy ${command}`);
    if (element.matches("pre")) {
      const box = make("div", { className: "command" });
      element.replaceWith(box);
      box.append(element, button); // at the top right of it
    } else element.after(button);
  }

  // ---------------------------------------------------------------- folds, and what scrolls

  function equipFolds() {
    const folds = all("main details:not(.switches)");
    const toggle = makeButton("", () => {
      const opened = folds.some((fold) => !fold.open);
      folds.forEach((fold) => (fold.open = opened));
    });
    const label = () => (toggle.textContent = folds.some((fold) => !fold.open) ? "Open all folds" : "Close all folds");
    folds.forEach((fold) => fold.addEventListener("toggle", label));
    label();
    if (folds.length) document.querySelector("nav").append(toggle);
    const reveal = () => {
      const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
      const fold = target?.closest("details");
      if (!fold) return;
      fold.open = true;
      fold.scrollIntoView();
    };
    window.addEventListener("hashchange", reveal);
    all("nav a").forEach((link) => link.addEventListener("click", () => setTimeout(reveal)));
    reveal();
    let closed = [];
    window.addEventListener("beforeprint", () => {
      closed = folds.filter((fold) => !fold.open);
      closed.forEach((fold) => (fold.open = true));
    });
    window.addEventListener("afterprint", () => closed.forEach((fold) => (fold.open = false)));
  }

  function equipScroller(box) {
    const look = () => {
      const beyond = box.scrollWidth - box.clientWidth - box.scrollLeft;
      const picture = box.classList.contains("picture");
      box.classList.toggle("more-left", picture && box.scrollLeft > 2);
      box.classList.toggle("more-right", picture && beyond > 2);
      if (box.scrollWidth > box.clientWidth + 2) box.tabIndex = 0; // for the arrow keys
      else box.removeAttribute("tabindex");
    };
    box.addEventListener("scroll", look);
    const zero = box.querySelector(".zero")?.getBoundingClientRect();
    const room = Math.min(60, box.clientWidth / 2); // for half of what is written above the line
    if (zero) box.scrollLeft = zero.left - box.getBoundingClientRect().left - room; // with the words at the right of the rows
    new ResizeObserver(look).observe(box);
  }

  document.body.append(tip);
  all(".part").forEach(equipPart);
  all("#studies").forEach(equipPart);
  all("figure svg").forEach(equipPicture);
  all("header code, td code, .note code, pre").forEach(equipCommand);
  equipFolds();
  all(".scroll").forEach(equipScroller);
  document.addEventListener("pointerdown", (event) => event.target.closest("svg") || tell([]));
  window.addEventListener("scroll", () => told.length && !document.activeElement?.matches("svg:focus-visible") && tell([]), true);
})();
