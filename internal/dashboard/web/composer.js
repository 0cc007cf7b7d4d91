// @ts-check
// The form that publishes.

import { byID, form, input, place, textOf } from './dom.js';

/**
 * @param {(event: string, json: string) => Promise<Record<string, any>>} publish
 */
export function startComposer(publish) {
  const data = byID('data', HTMLTextAreaElement);
  const result = place('publish-result');

  /** @param {string} text @param {boolean} bad */
  const show = (text, bad) => {
    result.textContent = text;
    result.classList.toggle('error', bad);
    data.setAttribute('aria-invalid', String(bad));
  };

  form('publish-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    try {
      const json = input('form-text').checked ? JSON.stringify(data.value) : checked(data.value);
      const start = performance.now();
      const answer = await publish(input('event').value, json);
      show(`${answer.epoch}:${answer.offset} in ${(performance.now() - start).toFixed(1)} ms`, false);
    } catch (error) {
      show(textOf(error), true);
    }
  });

  data.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form('publish-form').requestSubmit();
  });
}

/** The text itself if it is JSON: it is published byte for byte. @param {string} text */
function checked(text) {
  try {
    JSON.parse(text);
  } catch (error) {
    throw new Error(`This is not JSON (${textOf(error)}). Choose Text to publish it as it stands.`);
  }
  return text;
}
