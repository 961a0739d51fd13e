"use strict";
// Every text of the data becomes a text node; nothing here parses markup, and the page's policy lets no other script run.
const data = JSON.parse(document.getElementById("data").textContent);
const number = (n) => (n === null || n === undefined ? "" : n.toLocaleString("en"));
const percent = (share) => (share * 100).toFixed(share > 0 && share < 0.01 ? 2 : 0) + "%";
const PAGE = 20;

function make(tag, facts, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(facts || {})) element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
const SVG = "http://www.w3.org/2000/svg";
function draw(tag, facts, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(facts)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
const section = (id) => document.getElementById(id);

// A table that sorts by its headings and is filtered by a text. Columns: {name, number, show}; rows: arrays of values.
function table(caption, columns, rows) {
  const body = make("tbody");
  const status = make("span", { role: "status" });
  const filter = make("input", { type: "search", autocomplete: "off" });
  let sorted = null, ascending = true;
  function fill() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = rows.filter((row) => { const text = row.join(" ").toLowerCase(); return words.every((word) => text.includes(word)); });
    if (sorted !== null) {
      const sign = ascending ? 1 : -1;
      const order = (a, b) => (columns[sorted].number ? (a ?? -Infinity) - (b ?? -Infinity) : String(a).localeCompare(String(b)));
      shown = [...shown].sort((a, b) => sign * order(a[sorted], b[sorted]));
    }
    body.replaceChildren(...shown.map((row) => make("tr", {}, ...row.map((value, i) => {
      const text = columns[i].show ? columns[i].show(value) : columns[i].number ? number(value) : String(value ?? "");
      return make(i ? "td" : "th", i ? (columns[i].number ? { class: "number" } : {}) : { scope: "row" }, text);
    }))));
    status.textContent = `${number(shown.length)} of ${number(rows.length)} lines`;
  }
  const heads = columns.map((column, i) => {
    const button = make("button", { type: "button" }, column.name);
    const head = make("th", { scope: "col", ...(column.number ? { class: "number" } : {}) }, button);
    button.addEventListener("click", () => {
      ascending = sorted === i ? !ascending : !column.number;
      sorted = i;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      fill();
    });
    return head;
  });
  filter.addEventListener("input", fill);
  fill();
  return make("div", {},
    make("div", { class: "controls" }, make("label", {}, "Filter " + caption, filter), status),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      make("table", {}, make("caption", {}, caption), make("thead", {}, make("tr", {}, ...heads)), body)));
}

// Bars for one or two series over the same bins; what a bar says stands in its title, and all of it in the description.
function bars(caption, names, series, kinds, keys) {
  const width = 320, height = 120, top = Math.max(1, ...series.flat());
  const step = Math.min(48, width / Math.max(1, names.length)), bar = (step * 0.9) / series.length;
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height + 16}`, role: "img", "aria-label": `${caption}: ` +
    names.map((name, i) => series.some((values) => values[i]) ? `${name}: ${series.map((values) => number(values[i])).join(" and ")}` : "").filter(Boolean).join("; ") });
  names.forEach((name, i) => {
    series.forEach((values, s) => {
      const size = (values[i] / top) * height;
      const rect = draw("rect", { x: i * step + s * bar, y: height - size, width: bar, height: size, class: kinds[s] });
      rect.append(draw("title", {}, `${name}: ${number(values[i])}`));
      svg.append(rect);
    });
    const every = Math.ceil(names.length / 8);
    if (i % every === 0) svg.append(draw("text", { x: i * step, y: height + 12 }, name));
  });
  const colours = { k: "kept", l: "lost", o: "other" };
  const legend = (keys || []).flatMap((key, s) => [" ", make("span", { class: "key " + colours[kinds[s]] }, key)]);
  return make("figure", {}, make("figcaption", {}, caption, ...legend), svg);
}

function alarms() {
  const place = section("alarms");
  for (const alarm of data.alarms) place.append(make("div", { class: "alarm" }, make("strong", {}, alarm.what), make("p", {}, "Look at: " + alarm.advice), alarm.example ? make("p", {}, "For example " + alarm.example) : null));
  for (const set of data.datasets.filter((d) => d.unreadable)) place.append(make("p", { class: "alarm" }, `${set.name}: ${set.unreadable} files could not be read and are not in these numbers; kalm verify names them`));
  if (!place.querySelector(".alarm")) place.append(make("p", {}, "None."));
  if (data.absent.length) place.append(make("details", {}, make("summary", {}, `${number(data.absent.length)} things that were asked for are absent`), make("ul", {}, ...data.absent.map(([name, why]) => make("li", {}, `${name}: ${why}`)))));
}

// What differs from another run, where the report was asked to say so.
function difference() {
  const found = data.difference;
  if (!found) return;
  const list = (lines) => make("ul", {}, ...lines.map((line) => make("li", {}, line)));
  const told = make("section", { id: "difference", "aria-labelledby": "difference-title" }, make("h2", { id: "difference-title" }, `What differs from ${found.against}`),
    make("p", {}, `${number(found.same)} datasets are the same to the byte, ${number(found.changed.length)} differ.`));
  if (found.left.length) told.append(make("p", {}, "Only there: " + found.left.join(", ")));
  if (found.right.length) told.append(make("p", {}, "Only here: " + found.right.join(", ")));
  if (found.why.length) told.append(make("h3", {}, "Differs for all"), list(found.why));
  if (found.changed.length) told.append(table("datasets that differ", [{ name: "dataset" }, { name: "what differs" }, { name: "because of" }],
    found.changed.map((change) => [change.dataset, change.what.join("; "), change.why.filter((line) => !found.why.includes(line)).join("; ") || "what differs for all"])));
  section("alarms").after(told);
  document.querySelector("nav").prepend(make("a", { href: "#difference" }, "Difference"), " ");
}

function funnel() {
  const total = data.funnel[0][1] || 1, rows = data.funnel, line = 22;
  const svg = draw("svg", { viewBox: `0 0 640 ${rows.length * line}`, role: "img", "aria-label": rows.map(([what, n]) => `${words(what)} ${number(n)}`).join(", ") });
  rows.forEach(([what, n], i) => {
    const kind = what === "read" || what === "kept" ? "k" : what === "merged" ? "o" : "l";
    svg.append(draw("rect", { x: 190, y: i * line + 3, width: Math.max(n ? 1 : 0, (n / total) * 300), height: line - 6, class: kind }));
    svg.append(draw("text", { x: 0, y: i * line + 15 }, words(what)), draw("text", { x: 500, y: i * line + 15 }, `${number(n)}  (${percent(n / total)})`));
  });
  section("funnel").append(make("p", {}, "Every row read is kept, merged into another row's example, or rejected for one reason."), svg);
}
const words = (reason) => (data.reasons[reason] ? data.reasons[reason][0] : reason);

function tables() {
  section("datasets").append(table("datasets", [{ name: "dataset" }, { name: "task type" }, { name: "stage" }, { name: "languages" }, { name: "licence" },
    { name: "read", number: true }, { name: "merged", number: true }, { name: "kept", number: true }, { name: "lost", number: true, show: percent }],
    data.datasets.map((d) => [d.name, d.task_type, d.stage, d.languages, d.licence, d.read, d.merged, d.kept, d.lost])));
  const lost = data.datasets.flatMap((d) => Object.entries(d.rejected).flatMap(([stage, reasons]) =>
    Object.entries(reasons).map(([reason, rows]) => [d.name, stage, reason, rows, d.read ? rows / d.read : 0, (data.reasons[reason] || ["", ""])[1]])));
  lost.sort((a, b) => b[3] - a[3]);
  section("reasons").append(table("reject reasons", [{ name: "dataset" }, { name: "stage" }, { name: "reason" }, { name: "rows", number: true }, { name: "of rows read", number: true, show: percent }, { name: "means" }], lost));
  const stayed = data.datasets.flatMap((d) => Object.entries(d.readmitted).flatMap(([stage, reasons]) =>
    Object.entries(reasons).map(([reason, rows]) => [d.name, stage, reason, rows, (data.reasons[reason] || ["", ""])[1]])));
  if (stayed.length) section("reasons").append(table("re-admitted rows", [{ name: "dataset" }, { name: "stage" }, { name: "overruled reason" }, { name: "rows", number: true }, { name: "means" }], stayed));
  const mined = data.datasets.filter((d) => d.mining).map((d) => { const m = d.mining; return [d.name, m.rows, m.given, m.mined, m.random, m.short, m.none, m.dropped, m.doubtful, m.positive, m.negative, m.hardness]; });
  const of = (name) => ({ name, number: true });
  section("mining").append(table("mining", [{ name: "dataset" }, ...["rows", "given negatives", "mined negatives", "random ones", "rows short of negatives", "rows without any", "inconsistent", "doubtful labels", "mean score of positives", "of mined negatives", "hardness"].map(of)], mined));
  const leaks = section("leaks");
  if (!data.checked) leaks.append(make("p", { class: "alarm" }, "No evaluation set was kept out: the data may hold queries of some."));
  else leaks.append(make("p", {}, `${number(data.checked)} sets were looked for. Rows with one of their queries are rejected (reason LEAKED_EVALUATION below); passages are counted and stay.`));
  if (data.overlaps.length) leaks.append(table("evaluation sets", [{ name: "evaluation set" }, { name: "dataset" }, ...["rows rejected", "exact", "contained", "edited", "queries", "positives", "corpus"].map(of)],
    data.overlaps.map((o) => [o.evaluation_set, o.dataset, o.rejected, o.exact, o.contained, o.edited, o.queries, o.positives, o.corpus])));
}

function choice(label, options) {
  const select = make("select", {}, ...options.map(([value, text]) => make("option", { value }, text)));
  return [select, make("label", {}, label, select)];
}

function oneDataset() {
  const [select, label] = choice("Dataset", data.datasets.map((d) => [d.name, d.name]));
  const place = make("div", { class: "charts" });
  function show() {
    const d = data.datasets.find((each) => each.name === select.value);
    if (!d) return;
    const powers = d.query_lengths[0].map((_, i) => number(2 ** i)), tens = d.ranks.map((_, i) => String(i * 10));
    const scores = d.scores[0].map((_, i) => ((i - d.scores[0].length / 2) / (d.scores[0].length / 2)).toFixed(2));
    const from = Math.max(0, scores.findIndex((_, i) => d.scores[0][i] || d.scores[1][i]));
    const figures = [bars("Characters of queries, by the least:", powers, d.query_lengths, ["l", "k"], ["read", "kept"]),
      bars("Characters of positives, by the least:", powers, d.positive_lengths, ["l", "k"], ["read", "kept"]),
      bars("Teacher's scores, by the least:", scores.slice(from), d.scores.map((v) => v.slice(from)), ["k", "o"], ["positives", "negatives"]),
      bars("Ranks of mined negatives, by the least", tens, [d.ranks], ["o"]),
      bars("Rows by number of negatives", d.negatives.map((e) => String(e[0])), [d.negatives.map((e) => e[1])], ["o"]),
      bars("Rows by language", d.by_language.map((e) => e[0] || "not said"), [d.by_language.map((e) => e[1]), d.by_language.map((e) => e[2])], ["l", "k"], ["read", "kept"])];
    if (d.labels.length) figures.push(bars("Rows by label, the largest classes", d.labels.map((e) => e[0]), [d.labels.map((e) => e[1])], ["k"]));
    place.replaceChildren(...figures);
  }
  select.addEventListener("change", show);
  show();
  section("one").append(make("div", { class: "controls" }, label), place);
}

// The words of two texts, those outside their longest common sequence marked.
const split = (text) => (/\s/.test(text) ? text.split(/(\s+)/) : [...text]).slice(0, 400);
function differences(one, other) {
  const a = split(one), b = split(other), table_ = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) for (let j = b.length - 1; j >= 0; j--) table_[i][j] = a[i] === b[j] ? table_[i + 1][j + 1] + 1 : Math.max(table_[i + 1][j], table_[i][j + 1]);
  const left = make("p", { dir: "auto" }), right = make("p", { dir: "auto" });
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { left.append(a[i++]); right.append(b[j++]); }
    else if (j >= b.length || (i < a.length && table_[i + 1][j] >= table_[i][j + 1])) left.append(make("mark", {}, a[i++]));
    else right.append(make("mark", {}, b[j++]));
  }
  return [left, right];
}

const text = (value) => make("p", { dir: "auto" }, value === null || value === undefined ? "(none)" : value);
function passages(title, list, more) {
  if (!list.length) return null;
  return make("div", {}, make("h4", {}, title + (more ? ` (${more} more)` : "")), ...list.map(([value, score]) => make("p", { dir: "auto" }, make("span", { class: "score" }, score === null ? "" : score.toFixed(3) + "  "), value)));
}
function keptCard(set, row) {
  return make("article", {}, make("h3", {}, `${set.name}: kept`), make("p", { class: "detail" }, [row.id, row.language, row.label ? "label " + row.label : ""].filter(Boolean).join(", ")),
    text(row.query), passages("Positives", row.positives, 0), passages("Negatives", row.negatives, row.more));
}
function lostCard(set, row) {
  const head = [make("h3", {}, `${set.name}: ${row.reason} (${words(row.reason)})`), make("p", { class: "detail" }, `${row.detail || ""}. ${row.stage}, ${row.provenance}${row.id ? ", " + row.id : ""}${row.label ? ", label " + row.label : ""}`)];
  if (row.kept) {
    const queries = differences(row.query || "", row.kept.query || ""), firsts = differences(row.positives[0] || "", (row.kept.positives[0] || [""])[0]);
    return make("article", {}, ...head, make("div", { class: "pair" },
      make("div", {}, make("h4", {}, "Removed"), queries[0], make("h5", {}, "Positive"), firsts[0]),
      make("div", {}, make("h4", {}, "Kept: " + row.kept.id), queries[1], make("h5", {}, "Positive"), firsts[1])));
  }
  if (row.raw !== null) return make("article", {}, ...head, text(row.raw));
  return make("article", {}, ...head, text(row.query), passages("Positives", row.positives.map((p) => [p, null]), 0), passages("Negatives", row.negatives.map((p) => [p, null]), 0));
}

function browser() {
  const all = data.datasets.flatMap((set) => [...set.kept_rows.map((row) => ({ set, row, kind: "kept" })), ...set.rejected_rows.map((row) => ({ set, row, kind: row.reason }))]);
  for (const item of all) item.text = JSON.stringify([item.row, item.set.name]).toLowerCase();
  const kinds = [...new Set(all.map((item) => item.kind))].filter((kind) => kind !== "kept").sort();
  const [sets, setLabel] = choice("Dataset", [["", "all datasets"], ...data.datasets.map((d) => [d.name, d.name])]);
  const [kind, kindLabel] = choice("Kind", [["", "kept and rejected"], ["kept", "kept"], ["-", "all rejected"], ...kinds.map((k) => [k, `${k} (${words(k)})`])]);
  const search = make("input", { type: "search", id: "search", autocomplete: "off" });
  const status = make("p", { role: "status", id: "found" }), list = make("div", { id: "examples" }), more = make("button", { type: "button", class: "plain" }, "Show more");
  let found = [], shown = 0;
  function next() {
    list.append(...found.slice(shown, shown + PAGE).map(({ set, row, kind: k }) => (k === "kept" ? keptCard(set, row) : lostCard(set, row))));
    shown = Math.min(found.length, shown + PAGE);
    more.hidden = shown >= found.length;
    status.textContent = `${number(found.length)} of ${number(all.length)} examples, ${number(shown)} shown`;
  }
  function update() {
    const query = search.value.toLowerCase();
    const fits = (k) => !kind.value || k === kind.value || (kind.value === "-" && k !== "kept");
    const quoted = JSON.stringify(query).slice(1, -1);
    found = all.filter((item) => (!sets.value || item.set.name === sets.value) && fits(item.kind) && item.text.includes(quoted));
    shown = 0;
    list.replaceChildren();
    next();
  }
  for (const control of [sets, kind]) control.addEventListener("change", update);
  search.addEventListener("input", update);
  more.addEventListener("click", next);
  section("browser").append(make("p", {}, "Some rows of each dataset and of each reject reason, chosen by their hash; long texts are cut. All rejected rows lie below rejections/."),
    make("div", { class: "controls" }, setLabel, kindLabel, make("label", {}, "Search", search)), status, list, more);
  update();
}

document.getElementById("made").textContent = `Made by ${data.code}${data.teacher ? ", teacher " + data.teacher : ""}.`;
alarms(); difference(); funnel(); tables(); oneDataset(); browser();
