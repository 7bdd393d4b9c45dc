// Forms from data: every field has a label, every failure is told in words where it happened.

import { make } from "./dom.js";
import { words } from "./words.js";

let made = 0;

/**
 * Makes a form. Fields are `{name, label, …}` with an input's further properties, `options` for a choice and `help` for a
 * remark. `action` is given the values by name; it may return a sentence that tells what was done.
 */
export function form({ fields = [], button, isDanger = false, action }) {
  const told = make("p", { role: "status", className: "told" });
  const failed = make("p", { role: "alert", className: "failed" });
  const submit = make("button", { type: "submit", className: isDanger ? "danger" : "" }, button);
  const element = make("form", { method: "post" }, ...fields.map(field), failed, told, submit);
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (element.getAttribute("aria-busy") === "true") {
      return;
    }
    element.setAttribute("aria-busy", "true");
    failed.textContent = "";
    told.textContent = "";
    try {
      const done = await action(values(element));
      if (done) {
        told.textContent = done;
        element.reset();
      }
    } catch (error) {
      failed.textContent = words(error);
      forgetPasswords(element);
    }
    element.removeAttribute("aria-busy");
  });
  return element;
}

/** A button that does something at once. */
export function button(text, action) {
  const failed = make("span", { role: "alert", className: "failed" });
  const element = make("button", { type: "button" }, text);
  element.addEventListener("click", async () => {
    failed.textContent = "";
    try {
      await action();
    } catch (error) {
      failed.textContent = words(error);
    }
  });
  return make("span", { className: "action" }, element, failed);
}

/**
 * Asks in a dialog before something is done that cannot be undone, by a form as above. `action` may fail and be tried again;
 * the dialog closes when it is done.
 */
export function confirm({ title, text, action, ...rest }) {
  const heading = make("h2", { id: `dialog-${++made}` }, title);
  const cancel = make("button", { type: "button" }, "Cancel");
  const dialog = make("dialog", { "aria-labelledby": heading.id });
  const asked = form({
    ...rest,
    isDanger: true,
    action: async (given) => {
      await action(given);
      dialog.close();
    },
  });
  cancel.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.append(heading, make("p", {}, text), asked, cancel);
  document.body.append(dialog);
  dialog.showModal();
}

function field({ name, label, help, options, type = "text", ...properties }) {
  const id = `field-${++made}`;
  const more = help ? { "aria-describedby": `${id}-help` } : {};
  const common = { id, name, required: true, ...more, ...properties };
  const caption = make("label", { htmlFor: id }, label);
  const remark = help ? make("small", { id: `${id}-help` }, help) : null;
  if (type === "checkbox") {
    const box = make("input", { ...common, type, required: false });
    return make("div", { className: "field choice" }, box, caption, remark);
  }
  const input = options ? choice(common, options) : make("input", { ...common, type });
  return make("div", { className: "field" }, caption, input, remark);
}

/** A choice of one among `[value, text]`s. */
export function choice({ value, ...properties }, options) {
  // What is chosen at first is so again when the form is reset.
  const each = options.map(([option, text]) => make("option", { value: option, defaultSelected: option === value }, text));
  return make("select", properties, ...each);
}

function values(element) {
  const inputs = [...element.elements].filter((input) => input.name);
  return Object.fromEntries(
    inputs.map((input) => {
      const isText = input.type !== "password" && input.type !== "checkbox";
      return [input.name, input.type === "checkbox" ? input.checked : isText ? input.value.trim() : input.value];
    }),
  );
}

function forgetPasswords(element) {
  for (const input of element.querySelectorAll("input[type=password]")) {
    input.value = "";
  }
}
