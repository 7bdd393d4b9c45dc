// Elements, made without ever parsing text as markup.

/** Makes an element. Properties that an element does not have become attributes; absent children are left out. */
export function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name in element) {
      element[name] = value;
    } else {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A section under a heading of its own. */
export function section(title, ...children) {
  const heading = make("h2", { tabIndex: -1 }, title);
  return make("section", {}, heading, ...children);
}

/** A link, or nothing where it would lead nowhere. */
export function link(address, text) {
  return address ? make("a", { href: address }, text) : null;
}

/** A table with a caption; each row is a list of cells. */
export function table(caption, columns, rows) {
  const head = make("tr", {}, ...columns.map((column) => make("th", { scope: "col" }, column)));
  const body = rows.map(([first, ...rest]) =>
    make("tr", {}, make("th", { scope: "row" }, first), ...rest.map((cell) => make("td", {}, cell))),
  );
  const whole = make("table", {}, make("caption", {}, caption), make("thead", {}, head), make("tbody", {}, ...body));
  // Tables that are wider than a telephone scroll by themselves, also by keyboard.
  return make("div", { className: "scrolls", role: "region", "aria-label": caption, tabIndex: 0 }, whole);
}

/** Facts as terms with what is true of them. */
export function facts(entries) {
  const list = make("dl");
  for (const [term, fact] of entries) {
    list.append(make("div", {}, make("dt", {}, term), make("dd", {}, fact)));
  }
  return list;
}
