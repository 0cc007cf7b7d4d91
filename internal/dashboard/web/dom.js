// @ts-check
// The page's hands. Text from messages enters the page through textContent alone, so nothing in it can become markup.

/**
 * The element with that id, of that class.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function byID(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`#${id} is missing`);
  return found;
}

/** @param {string} id @returns {HTMLInputElement} */
export const input = (id) => byID(id, HTMLInputElement);

/** @param {string} id @returns {HTMLButtonElement} */
export const button = (id) => byID(id, HTMLButtonElement);

/** @param {string} id @returns {HTMLFormElement} */
export const form = (id) => byID(id, HTMLFormElement);

/** @param {string} id @returns {HTMLElement} */
export const place = (id) => byID(id, HTMLElement);

/**
 * A new element.
 * @param {string} tag @param {string} className @param {string} [text]
 */
export function make(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Shows a text, or hides the element where there is none. @param {HTMLElement} element @param {string} text */
export function say(element, text) {
  element.textContent = text;
  element.hidden = text === '';
}

/** @param {unknown} error @returns {string} */
export function textOf(error) {
  return error instanceof Error ? error.message : String(error);
}
