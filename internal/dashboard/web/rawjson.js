// @ts-check
// Finds the source text of JSON values. JSON.parse would turn 1.0e2 into 100; Snö keeps data byte for byte, so the page shows the bytes.
// Every function expects text that JSON.parse has accepted.

/** @param {string} text @param {number} i @returns {number} the index of the next character that is not white space */
function skipSpace(text, i) {
  while (i < text.length && ' \t\n\r'.includes(text[i])) i++;
  return i;
}

/** @param {string} text @param {number} i the opening quote @returns {number} the index after the closing one */
function stringEnd(text, i) {
  for (let j = i + 1; j < text.length; j++) {
    if (text[j] === '\\') j++;
    else if (text[j] === '"') return j + 1;
  }
  return text.length;
}

/** @param {string} text @param {number} i the first character of a value @returns {number} the index after the value */
function valueEnd(text, i) {
  if (text[i] === '"') return stringEnd(text, i);
  if (text[i] !== '{' && text[i] !== '[') {
    while (i < text.length && !',]} \t\n\r'.includes(text[i])) i++;
    return i;
  }
  for (let depth = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '"') i = stringEnd(text, i) - 1;
    else if (c === '{' || c === '[') depth++;
    else if ((c === '}' || c === ']') && --depth === 0) return i + 1;
  }
  return i;
}

/**
 * The source texts of an array's elements; of anything else, the text itself as the only one.
 * @param {string} text
 * @returns {string[]}
 */
export function elements(text) {
  let i = skipSpace(text, 0);
  if (text[i] !== '[') return [text];
  const found = [];
  i = skipSpace(text, i + 1);
  while (i < text.length && text[i] !== ']') {
    const end = valueEnd(text, i);
    found.push(text.slice(i, end));
    i = skipSpace(text, end);
    if (text[i] === ',') i = skipSpace(text, i + 1);
  }
  return found;
}

/**
 * The source text of an object's member. Where a key stands twice the last one counts, as with JSON.parse.
 * @param {string} text
 * @param {string} key
 * @returns {string|undefined}
 */
export function member(text, key) {
  let found;
  let i = skipSpace(text, skipSpace(text, 0) + 1);
  while (text[i] === '"') {
    const keyEnd = stringEnd(text, i);
    const start = skipSpace(text, skipSpace(text, keyEnd) + 1); // over the colon
    const end = valueEnd(text, start);
    if (JSON.parse(text.slice(i, keyEnd)) === key) found = text.slice(start, end);
    i = skipSpace(text, end);
    if (text[i] === ',') i = skipSpace(text, i + 1);
  }
  return found;
}
