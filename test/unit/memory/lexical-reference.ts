// The lexical embedding a second time, in plain JavaScript: what the module of lexical.wat has to equal, bit for bit.

/** Multiplier of the polynomial hash over UTF-16 units, modulo 2^32, and its powers. */
const BASE = 0x2c1b3c6d;
const BASE_2 = Math.imul(BASE, BASE);
const BASE_3 = Math.imul(BASE_2, BASE);
/** Keep words, pairs of words and n-grams of each length apart from each other. */
const WORD_SEED = 0x811c9dc5;
const PAIR_SEED = 0x51ed270b;
const TRIGRAM_SEED = 0x9e3779b9;
const FOURGRAM_SEED = 0x7f4a7c15;
const COPY_SEED = 0x5bd1e995;
const TEXT_SEED = 0x3c6ef372;

const WORD_WEIGHT = 1;
const WORD_COPIES = 4;
const PAIR_WEIGHT = 0.4;
const TRIGRAM_WEIGHT = 0.25;
const FOURGRAM_WEIGHT = 0.3;
const IDEOGRAPH_WEIGHT = 0.6;
/** Words this short are mostly grammar ("the", "und", "que"); they and their n-grams count for less. */
const SHORT_WORD_UNITS = 3;
const SHORT_WORD_FACTOR = 0.35;

/** Stands for both ends of a word, so that "art" as a word and "art" in "party" differ. */
const EDGE = 1;
/** From here on (CJK and its neighbours) words are not set apart by spaces. */
const IDEOGRAPHS_FROM = 0x2e80;

/** The embedding as features added one by one, in plain JavaScript. */
export function referenceEmbedding(text: string, dimensions: number): Float32Array {
  const vector = new Float32Array(dimensions);
  const units = text.normalize("NFKC").toLowerCase();
  let previousWord = 0;
  let at = 0;
  while (at < units.length) {
    const unit = units.charCodeAt(at);
    if (isIdeograph(unit)) {
      addIdeograph(vector, unit, at === 0 ? 0 : units.charCodeAt(at - 1));
      at += 1;
    } else if (isWordUnit(unit)) {
      let end = at + 1;
      while (end < units.length && isWordUnit(units.charCodeAt(end)) && !isIdeograph(units.charCodeAt(end))) {
        end += 1;
      }
      previousWord = addWord(vector, units, at, end, previousWord);
      at = end;
    } else {
      at += 1;
    }
  }
  if (!scaleToUnit(vector)) {
    // Nothing but punctuation, or features that cancelled each other: the text as a whole is the feature.
    vector.fill(0);
    add(vector, TEXT_SEED ^ hashOf(units, 0, units.length), 1);
  }
  return vector;
}

/** Adds one word, its n-grams and its pair with the word before; returns its hash for the next pair. */
function addWord(
  vector: Float32Array,
  units: string,
  from: number,
  to: number,
  previousWord: number,
): number {
  const factor = to - from <= SHORT_WORD_UNITS ? SHORT_WORD_FACTOR : 1;
  const word = hashOf(units, from, to);
  // Spread over several dimensions, so that no single collision makes two texts look alike ("multiple
  // hashing" in Weinberger et al.): the same sum of squares, a shorter tail.
  for (let copy = 0; copy < WORD_COPIES; copy += 1) {
    add(vector, (word + Math.imul(copy, COPY_SEED)) | 0, (WORD_WEIGHT * factor) / Math.sqrt(WORD_COPIES));
  }
  if (previousWord !== 0) {
    add(vector, PAIR_SEED ^ ((Math.imul(previousWord, BASE) + word) | 0), PAIR_WEIGHT * factor);
  }
  const trigramWeight = TRIGRAM_WEIGHT * factor;
  const fourgramWeight = FOURGRAM_WEIGHT * factor;
  // A window over the word between its two ends.
  let first = 0;
  let second = EDGE;
  let third = units.charCodeAt(from);
  for (let place = from + 1; place <= to; place += 1) {
    const fourth = place < to ? units.charCodeAt(place) : EDGE;
    const trigram = (Math.imul(second, BASE_2) + Math.imul(third, BASE) + fourth) | 0;
    add(vector, (TRIGRAM_SEED + trigram) | 0, trigramWeight);
    if (first !== 0) {
      add(vector, (FOURGRAM_SEED + Math.imul(first, BASE_3) + trigram) | 0, fourgramWeight);
    }
    first = second;
    second = third;
    third = fourth;
  }
  return word;
}

function addIdeograph(vector: Float32Array, unit: number, previous: number): void {
  add(vector, WORD_SEED ^ Math.imul(unit, BASE), IDEOGRAPH_WEIGHT);
  if (isIdeograph(previous)) add(vector, PAIR_SEED ^ (Math.imul(previous, BASE) + unit), WORD_WEIGHT);
}

/** Never 0, which stands for no word. */
function hashOf(units: string, from: number, to: number): number {
  let hash = WORD_SEED;
  for (let place = from; place < to; place += 1) hash = Math.imul(hash ^ units.charCodeAt(place), BASE);
  return hash === 0 ? 1 : hash;
}

/** Adds the weight, with the sign that the hash gives, to the dimension that the hash gives. */
function add(vector: Float32Array, hash: number, weight: number): void {
  // The last steps of MurmurHash3 (fmix32): the low bits of a polynomial hash alone are not random.
  let mixed = hash ^ (hash >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  mixed ^= mixed >>> 16;
  const dimension = (mixed >>> 1) % vector.length;
  vector[dimension] = (vector[dimension] ?? 0) + weight * (1 - ((mixed & 1) << 1));
}

/** False when the vector has no direction. */
function scaleToUnit(vector: Float32Array): boolean {
  let squares = 0;
  for (let index = 0; index < vector.length; index += 1) squares += (vector[index] ?? 0) ** 2;
  // Weights that cancel leave rounding errors behind, which are no direction either.
  if (squares < 1e-9) return false;
  const scale = 1 / Math.sqrt(squares);
  for (let index = 0; index < vector.length; index += 1) vector[index] = (vector[index] ?? 0) * scale;
  return true;
}

function isIdeograph(unit: number): boolean {
  return unit >= IDEOGRAPHS_FROM && isWordUnit(unit) && (unit < 0xd800 || (unit > 0xdfff && unit < 0xfb00));
}

/** Letters, digits and, beyond Latin-1, all that is not punctuation; surrogates (emoji) too. */
function isWordUnit(unit: number): boolean {
  if (unit < 0x80) return (unit >= 97 && unit <= 122) || (unit >= 48 && unit <= 57);
  if (unit < 0xc0) return unit === 0xaa || unit === 0xb5 || unit === 0xba;
  if (unit === 0xd7 || unit === 0xf7) return false;
  if (unit >= 0x2000 && unit <= 0x206f) return false;
  return !(unit >= 0x3000 && unit <= 0x303f) && unit !== 0xfeff;
}
