/** Light, dark, or as the system has it; the choice is kept by the browser. */

const KEPT = "foldserve.theme";
const CHOICES = ["light", "dark"];

/** @returns {string} "light", "dark" or "system" */
function kept() {
  try {
    const value = localStorage.getItem(KEPT) ?? "";
    return CHOICES.includes(value) ? value : "system";
  } catch {
    return "system"; // a browser may keep nothing
  }
}

/** @param {string} choice */
function keep(choice) {
  try {
    localStorage.setItem(KEPT, choice);
  } catch {
    // then it holds until the page is closed
  }
}

/** @param {string} choice */
function apply(choice) {
  if (CHOICES.includes(choice)) document.documentElement.dataset.theme = choice;
  else delete document.documentElement.dataset.theme;
}

/** Let a person choose. @param {HTMLSelectElement} select */
export function watchTheme(select) {
  select.value = kept();
  select.addEventListener("change", () => {
    keep(select.value);
    apply(select.value);
  });
}

apply(kept()); // before anything is painted
