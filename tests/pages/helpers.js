// What the test looks for in a page: by the names that people and screen readers have for things.
globalThis.testing = (() => {
  const clean = (text) => text.replace(/\s+/g, " ").trim();
  const isVisible = (element) => element.checkVisibility() && element.getClientRects().length > 0;
  const nameOf = (element) => element.ariaLabel || clean(element.textContent);

  // The open dialog, else the section with the heading; the whole page where no heading is asked for.
  function within(heading) {
    if (!heading) {
      return document.body;
    }
    const headings = [...document.querySelectorAll("dialog[open] h2, section h2, h1")];
    return headings.find((found) => clean(found.textContent) === heading)?.parentElement;
  }

  function labelled(place, text) {
    const labels = [...(place?.querySelectorAll("label") ?? [])].filter(isVisible);
    const label = labels.find((found) => clean(found.textContent) === text);
    return label?.control ?? [...(place?.querySelectorAll("select") ?? [])].find((found) => found.ariaLabel === text);
  }

  const controls = () =>
    [...document.querySelectorAll("a[href], button, input, select, [tabindex='0']")].filter(
      (element) => isVisible(element) && !element.classList.contains("skip"),
    );

  function channels(color) {
    const [red, green, blue, alpha = 1] = color.match(/[\d.]+/g).map(Number);
    return { color: [red, green, blue], alpha };
  }

  function background(element) {
    for (let place = element; place; place = place.parentElement) {
      const { color, alpha } = channels(getComputedStyle(place).backgroundColor);
      if (alpha > 0) {
        return color;
      }
    }
    return [255, 255, 255];
  }

  // Relative luminance and contrast as WCAG 2.2 defines them.
  function luminance(color) {
    const [red, green, blue] = color.map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }

  function contrast(element) {
    const [one, other] = [channels(getComputedStyle(element).color).color, background(element)].map(luminance);
    return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  }

  return {
    isShown: () => {
      const content = document.querySelector("#content");
      return Boolean(content) && !content.textContent.includes("Asking the backend…");
    },
    field: (heading, label) => {
      const input = labelled(within(heading), label);
      input?.focus();
      input?.select?.();
      return Boolean(input) && document.activeElement === input;
    },
    choose: (label, option) => {
      const select = labelled(document.body, label);
      const wanted = [...(select?.options ?? [])].find((found) => found.text === option);
      if (!wanted) {
        return false;
      }
      select.value = wanted.value;
      select.dispatchEvent(new Event("change", { bubbles: true }));
      return true;
    },
    place: (heading, name) => {
      const found = [...(within(heading)?.querySelectorAll("a[href], button, label") ?? [])];
      const element = found.find((one) => isVisible(one) && nameOf(one) === name);
      if (!element) {
        return null;
      }
      element.scrollIntoView({ block: "center" });
      const box = element.getBoundingClientRect();
      return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
    },
    row: (begin, text) => {
      const rows = [...document.querySelectorAll("tbody tr, li")];
      const row = rows.find((found) => clean(found.textContent).startsWith(begin));
      const chosen = [...(row?.querySelectorAll("select") ?? [])].map((select) => select.selectedOptions[0].text);
      const read = row?.querySelector("select") ? chosen.join(" ") : clean(row?.textContent ?? "");
      return Boolean(row) && read.includes(text);
    },
    // Everything that a person could not use or read, in words.
    barriers: () => {
      const found = [];
      const tell = (what, element) => found.push(`${what}: ${element.outerHTML.slice(0, 120)}`);
      if (document.documentElement.lang !== "en" || !document.title) {
        found.push("no language or no title");
      }
      if (document.querySelectorAll("h1").length !== 1 || document.querySelectorAll("main").length !== 1) {
        found.push("not one h1 and one main");
      }
      // innerWidth would not do: a telephone shrinks a page that is too wide.
      const { scrollWidth, clientWidth } = document.documentElement;
      if (scrollWidth > clientWidth) {
        found.push(`wider than the screen: ${scrollWidth} > ${clientWidth}`);
      }
      for (const control of controls()) {
        const box = control.getBoundingClientRect();
        if (box.height < 24 || box.width < 24) {
          tell(`smaller than a finger, ${box.width}×${box.height}`, control);
        }
      }
      const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) {
        const element = texts.currentNode.parentElement;
        if (texts.currentNode.data.trim() && isVisible(element) && contrast(element) < 4.5) {
          tell(`contrast of ${contrast(element).toFixed(2)}`, element);
        }
      }
      return found;
    },
    controls: () => controls().length,
    // Where the keyboard is: the number of the control among all, and whether one sees it.
    focus: () => {
      const element = document.activeElement;
      const style = getComputedStyle(element);
      return { index: controls().indexOf(element), isSeen: style.outlineStyle !== "none", tag: element.outerHTML.slice(0, 80) };
    },
  };
})();
