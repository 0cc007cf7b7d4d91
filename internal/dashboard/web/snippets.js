// @ts-check
// Commands to paste into a shell.

import { place } from './dom.js';

/** @param {string} text a word for a POSIX shell, whatever is in it */
export function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** @param {string} channel @param {string} key */
export function showSnippets(channel, key) {
  const url = `${location.origin}/v1/channels/${encodeURIComponent(channel).replaceAll("'", '%27')}/messages`;
  const user = quoted(`${key}:SECRET`);
  place('curl-publish').textContent = `curl -u ${user} ${quoted(url)} \\\n  -H 'Content-Type: application/json' \\\n  -d '{"event":"said","data":{"text":"hello"}}'`;
  place('curl-history').textContent = `curl -u ${user} ${quoted(`${url}?last=10`)}`;
}

/** Makes the Copy buttons copy. */
export function startCopying() {
  for (const button of document.querySelectorAll('[data-copy]')) {
    button.addEventListener('click', async () => {
      const source = place(/** @type {HTMLElement} */ (button).dataset.copy ?? '');
      button.textContent = (await copied(source)) ? 'Copied' : 'Selected';
      setTimeout(() => { button.textContent = 'Copy'; }, 2000);
    });
  }
}

/** Copies, or selects where the page may not copy (plain http on another machine). @param {HTMLElement} source */
async function copied(source) {
  try {
    await navigator.clipboard.writeText(source.textContent ?? '');
    return true;
  } catch {
    getSelection()?.selectAllChildren(source);
    return false;
  }
}
