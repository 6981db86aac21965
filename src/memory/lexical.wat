;; The lexical embedding of one text (lexical.ts says what it is): its features are noted as a hash and a kind of weight
;; each, and added to the vector some hundreds at a time, four hashes mixed at once (WebAssembly SIMD).
;;
;; Half of the time went into branches that a processor cannot foresee, such as where a word ends. So the words of 64
;; units are found at once, as bits; the hashes and n-grams of up to 8 units are computed whether a word has them or not,
;; and what was too much is written over by the next word.
;;
;; Memory, from 0 on:
;;       0  1,024 hashes (i32); while features are added, instead of these their places in the vector (i32, in bytes)
;;    4096  while features are added: where in the table of weights each one's weight is, with its sign (i32, in bytes)
;;    8192  the kinds of the 1,024 (i16), and up to 7 more to make them a multiple of 8
;;   10496  the table of weights: at each kind its weight, and after that the same times -1 (f64)
;;   10688  the hashes of the first unit of a word, of the first two, and so on up to 8 (i32)
;;   12288  the vector (f32), then the text (UTF-16), then 144 bytes that are the module's
;; Features are added in the order in which the text has them, so every machine computes the same bits. Addresses are in
;; bytes and unsigned; nothing is checked here, that is the caller's.
;;
;; Kinds are places in the table of weights, in bytes: 0 copies of a word, 16 pairs, 32 3-grams, 48 4-grams; 64 more for
;; the same of words of up to 3 units, which count for less; 128 an ideograph, 144 a pair of these or a text as a whole;
;; 160 nothing.
;;
;; Hashes are polynomials over UTF-16 units modulo 2^32, with the multiplier 0x2c1b3c6d; 0x45414669 and 0x425e96b5 are
;; its second and third power. What keeps the kinds of features apart: 0x811c9dc5 words, 0x51ed270b pairs, 0x9e3779b9
;; and 0x7f4a7c15 3- and 4-grams, 0x3c6ef372 a text as a whole; 0x5bd1e995 the copies of a word.
(module
  (memory (export "memory") 1)
  (start $fillTable)

  (global $dimensions (mut i32) (i32.const 1))
  ;; (2^32 - 1) / $dimensions, rounded down.
  (global $inverse (mut i32) (i32.const 0))
  ;; Where the next feature's hash goes.
  (global $noted (mut i32) (i32.const 0))
  ;; The hash of the word before, 0 for none.
  (global $previousWord (mut i32) (i32.const 0))
  ;; What $spelledAscii says besides.
  (global $ascii (mut i64) (i64.const 0))

  (func $fillTable
    (call $fillEntry (i32.const 0) (f64.const 0.5))
    (call $fillEntry (i32.const 16) (f64.const 0.4))
    (call $fillEntry (i32.const 32) (f64.const 0.25))
    (call $fillEntry (i32.const 48) (f64.const 0.3))
    (call $fillEntry (i32.const 64) (f64.mul (f64.const 0.5) (f64.const 0.35)))
    (call $fillEntry (i32.const 80) (f64.mul (f64.const 0.4) (f64.const 0.35)))
    (call $fillEntry (i32.const 96) (f64.mul (f64.const 0.25) (f64.const 0.35)))
    (call $fillEntry (i32.const 112) (f64.mul (f64.const 0.3) (f64.const 0.35)))
    (call $fillEntry (i32.const 128) (f64.const 0.6))
    (call $fillEntry (i32.const 144) (f64.const 1))
    (call $fillEntry (i32.const 160) (f64.const 0)))

  (func $fillEntry (param $kind i32) (param $weight f64)
    (f64.store offset=10496 (local.get $kind) (local.get $weight))
    (f64.store offset=10504 (local.get $kind) (f64.neg (local.get $weight))))

  ;; Writes to the vector at 12288 the embedding of the UTF-16 units from $text to $end.
  (func (export "embed") (param $text i32) (param $end i32) (param $dimensions i32)
    ;; Up to $slowTo the text is looked at one unit at a time, from there on 64 at once.
    (local $at i32) (local $slowTo i32)
    (local $unit i32) (local $from i32) (local $bits i64) (local $unused i64) (local $run i64)
    (call $begin (local.get $dimensions))
    ;; Behind the text come units that end a word; 64 units from the last one on are looked at.
    (v128.store align=2 (local.get $end) (v128.const i64x2 0 0))
    (v128.store offset=16 align=2 (local.get $end) (v128.const i64x2 0 0))
    (v128.store offset=32 align=2 (local.get $end) (v128.const i64x2 0 0))
    (v128.store offset=48 align=2 (local.get $end) (v128.const i64x2 0 0))
    (v128.store offset=64 align=2 (local.get $end) (v128.const i64x2 0 0))
    (v128.store offset=80 align=2 (local.get $end) (v128.const i64x2 0 0))
    (v128.store offset=96 align=2 (local.get $end) (v128.const i64x2 0 0))
    (v128.store offset=112 align=2 (local.get $end) (v128.const i64x2 0 0))
    (v128.store offset=128 align=2 (local.get $end) (v128.const i64x2 0 0))
    (local.set $at (local.get $text))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
      (if (i32.ge_u (local.get $at) (local.get $slowTo)) (then
        ;; The words of the next 64 units, as far as those are ASCII.
        (local.set $from (local.get $at))
        (local.set $bits (call $spelledAscii (local.get $at)))
        (local.set $unused (i64.sub (i64.const 64) (global.get $ascii)))
        (local.set $bits (i64.shl (local.get $bits) (local.get $unused)))
        ;; But not a word that may go on beyond them.
        (local.set $run (i64.clz (i64.xor (local.get $bits) (i64.const -1))))
        (local.set $at (i32.add (local.get $at)
          (i32.shl (i32.wrap_i64 (i64.sub (global.get $ascii) (local.get $run))) (i32.const 1))))
        (local.set $bits (i64.shr_u
          (i64.and (local.get $bits) (i64.shr_u (i64.const -1) (local.get $run)))
          (local.get $unused)))
        (if (i64.ne (local.get $unused) (i64.const 0))
          (then (local.set $slowTo (i32.add (local.get $from) (i32.const 128))))
          (else (if (i32.eq (local.get $at) (local.get $from)) (then
            ;; All 64 are one word.
            (local.set $slowTo (i32.add (local.get $from) (i32.const 2)))
            (br $next)))))
        (call $noteWords (local.get $from) (local.get $bits))
        (br $next)))
      (local.set $unit (i32.load16_u (local.get $at)))
      (local.set $from (local.get $at))
      (local.set $at (i32.add (local.get $at) (i32.const 2)))
      (if (call $isSpelled (local.get $unit)) (then
        (block $over (loop $more
          (br_if $over (i32.ge_u (local.get $at) (local.get $end)))
          ;; Letters of ASCII are looked at here, a call for each takes longer.
          (local.set $unit (i32.load16_u (local.get $at)))
          (if (i32.ge_u (i32.sub (local.get $unit) (i32.const 97)) (i32.const 26)) (then
            (br_if $over (i32.eqz (call $isSpelled (local.get $unit))))))
          (local.set $at (i32.add (local.get $at) (i32.const 2)))
          (br $more)))
        (if (i32.lt_u (i32.sub (local.get $at) (local.get $from)) (i32.const 128))
          (then (call $noteWords (local.get $from)
            (i64.sub
              (i64.shl (i64.const 1)
                (i64.extend_i32_u (i32.shr_u (i32.sub (local.get $at) (local.get $from)) (i32.const 1))))
              (i64.const 1))))
          (else (call $noteLongWord (local.get $from) (local.get $at))))
        (br $next)))
      (if (call $isIdeograph (local.get $unit)) (then
        (call $note
          (i32.xor (i32.const 0x811c9dc5) (i32.mul (local.get $unit) (i32.const 0x2c1b3c6d)))
          (i32.const 128))
        (call $notePair (local.get $text) (local.get $from))))
      (br $next)))
    (call $addNoted)
    (if (call $scaleToUnit) (then (return)))
    ;; Nothing but punctuation, or features that cancelled each other: the text as a whole is the feature.
    (call $begin (local.get $dimensions))
    (call $note
      (i32.xor (i32.const 0x3c6ef372) (call $hashOf (local.get $text) (local.get $end)))
      (i32.const 144))
    (call $addNoted))

  ;; How many of the 64 units from $at on come before the first that is not ASCII ($ascii), and which of these are
  ;; lower-case letters or digits, as bits; above these bits, anything.
  (func $spelledAscii (param $at i32) (result i64)
    (local $units v128) (local $bits i64)
    (local.set $units (i8x16.narrow_i16x8_u
      (v128.load align=2 (local.get $at))
      (v128.load offset=16 align=2 (local.get $at))))
    (local.set $bits (i64.extend_i32_u (i8x16.bitmask (v128.or
      (i8x16.le_u (i8x16.sub (local.get $units) (i8x16.splat (i32.const 97))) (i8x16.splat (i32.const 25)))
      (i8x16.le_u (i8x16.sub (local.get $units) (i8x16.splat (i32.const 48))) (i8x16.splat (i32.const 9)))))))
    (local.set $units (i8x16.narrow_i16x8_u
      (v128.load offset=32 align=2 (local.get $at))
      (v128.load offset=48 align=2 (local.get $at))))
    (local.set $bits (i64.or
      (local.get $bits)
      (i64.shl
        (i64.extend_i32_u (i8x16.bitmask (v128.or
          (i8x16.le_u (i8x16.sub (local.get $units) (i8x16.splat (i32.const 97))) (i8x16.splat (i32.const 25)))
          (i8x16.le_u (i8x16.sub (local.get $units) (i8x16.splat (i32.const 48))) (i8x16.splat (i32.const 9))))))
        (i64.const 16))))
    (local.set $units (i8x16.narrow_i16x8_u
      (v128.load offset=64 align=2 (local.get $at))
      (v128.load offset=80 align=2 (local.get $at))))
    (local.set $bits (i64.or
      (local.get $bits)
      (i64.shl
        (i64.extend_i32_u (i8x16.bitmask (v128.or
          (i8x16.le_u (i8x16.sub (local.get $units) (i8x16.splat (i32.const 97))) (i8x16.splat (i32.const 25)))
          (i8x16.le_u (i8x16.sub (local.get $units) (i8x16.splat (i32.const 48))) (i8x16.splat (i32.const 9))))))
        (i64.const 32))))
    (local.set $units (i8x16.narrow_i16x8_u
      (v128.load offset=96 align=2 (local.get $at))
      (v128.load offset=112 align=2 (local.get $at))))
    (local.set $bits (i64.or
      (local.get $bits)
      (i64.shl
        (i64.extend_i32_u (i8x16.bitmask (v128.or
          (i8x16.le_u (i8x16.sub (local.get $units) (i8x16.splat (i32.const 97))) (i8x16.splat (i32.const 25)))
          (i8x16.le_u (i8x16.sub (local.get $units) (i8x16.splat (i32.const 48))) (i8x16.splat (i32.const 9))))))
        (i64.const 48))))
    (global.set $ascii (i64.const 64))
    (if (v128.any_true (v128.and
        (i16x8.splat (i32.const 0xff80))
        (v128.or
          (v128.or
            (v128.or (v128.load (local.get $at)) (v128.load offset=16 (local.get $at)))
            (v128.or (v128.load offset=32 (local.get $at)) (v128.load offset=48 (local.get $at))))
          (v128.or
            (v128.or (v128.load offset=64 (local.get $at)) (v128.load offset=80 (local.get $at)))
            (v128.or (v128.load offset=96 (local.get $at)) (v128.load offset=112 (local.get $at))))))) (then
      (global.set $ascii (i64.const 0))
      (loop $next
        (if (i32.lt_u (i32.load16_u (local.get $at)) (i32.const 0x80)) (then
          (global.set $ascii (i64.add (global.get $ascii) (i64.const 1)))
          (local.set $at (i32.add (local.get $at) (i32.const 2)))
          (br $next))))
      ;; A shift by 64 is none.
      (if (i64.eqz (global.get $ascii)) (then (return (i64.const 0))))))
    (local.get $bits))

  ;; Notes the words of which $bits says, lowest bit first, which of the units from $base on they are spelled with.
  ;; Calls nothing from the loop: so its constants stay in registers.
  (func $noteWords (param $base i32) (param $bits i64)
    (local $word i32) (local $length i32) (local $start i64)
    (local $hash i32) (local $previousWord i32) (local $at i32) (local $rest i32) (local $to i32)
    ;; Where the features of the word go; 16 bytes before its n-grams, and as much before their kinds.
    (local $noted i32) (local $grams i32) (local $gramKinds i32)
    ;; What the kinds of a word have in common, twice; the kinds of a 3-gram and a 4-gram, four times.
    (local $kinds i32) (local $kinds4 v128)
    (local $units v128) (local $firstTrigrams v128) (local $trigrams v128) (local $fourgrams v128)
    ;; All of them have less than 200 features, and what is to be written over takes less than 20 more.
    (if (i32.gt_u (global.get $noted) (i32.const 3072)) (then (call $addNoted)))
    (if (i64.eqz (local.get $bits)) (then (return)))
    (local.set $noted (global.get $noted))
    (local.set $previousWord (global.get $previousWord))
    (loop $next
      (local.set $start (i64.ctz (local.get $bits)))
      (local.set $length (i32.wrap_i64 (i64.ctz (i64.xor
        (i64.shr_u (local.get $bits) (local.get $start))
        (i64.const -1)))))
      (local.set $word
        (i32.add (local.get $base) (i32.shl (i32.wrap_i64 (local.get $start)) (i32.const 1))))
      ;; A carry runs through the lowest ones that are next to each other.
      (local.set $bits (i64.and
        (local.get $bits)
        (i64.add
          (local.get $bits)
          (i64.and (local.get $bits) (i64.sub (i64.const 0) (local.get $bits))))))
      (local.set $kinds (i32.shl (i32.le_u (local.get $length) (i32.const 3)) (i32.const 6)))
      (local.set $kinds (i32.or (local.get $kinds) (i32.shl (local.get $kinds) (i32.const 16))))
      (local.set $kinds4 (i32x4.splat (i32.or (local.get $kinds) (i32.const 0x00300020))))
      (local.set $grams
        (i32.add (local.get $noted)
          (i32.shl (i32.ne (local.get $previousWord) (i32.const 0)) (i32.const 2))))
      (local.set $gramKinds (i32.shr_u (local.get $grams) (i32.const 1)))
      ;; A window over the word between its two ends, which are 1: four 3-grams, each followed by the 4-gram that ends
      ;; where it does. The first 4-gram is none: it goes where the first 3-gram is to go, which goes before it.
      (local.set $units (v128.load16x4_u (local.get $word)))
      (local.set $trigrams
        (i32x4.add
          (i32x4.add
            (i32x4.mul
              (i8x16.shuffle 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27
                (i32x4.splat (i32.const 1)) (local.get $units))
              (i32x4.splat (i32.const 0x45414669)))
            (i32x4.mul (local.get $units) (i32x4.splat (i32.const 0x2c1b3c6d))))
          (v128.bitselect
            (i32x4.splat (i32.const 1))
            (v128.load16x4_u offset=2 (local.get $word))
            (i32x4.gt_s (v128.const i32x4 2 3 4 5) (i32x4.splat (local.get $length))))))
      (local.set $fourgrams
        (i32x4.add
          (i32x4.add (local.get $trigrams) (i32x4.splat (i32.const 0x7f4a7c15)))
          (i32x4.mul
            (i8x16.shuffle 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23
              (i32x4.splat (i32.const 1)) (local.get $units))
            (i32x4.splat (i32.const 0x425e96b5)))))
      (local.set $firstTrigrams (i32x4.add (local.get $trigrams) (i32x4.splat (i32.const 0x9e3779b9))))
      (v128.store offset=12 align=4 (local.get $grams)
        (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23
          (local.get $firstTrigrams) (local.get $fourgrams)))
      (v128.store offset=28 align=4 (local.get $grams)
        (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31
          (local.get $firstTrigrams) (local.get $fourgrams)))
      (v128.store offset=8198 align=2 (local.get $gramKinds) (local.get $kinds4))
      ;; The same from the fifth unit on.
      (local.set $at (local.get $word))
      (local.set $rest (i32.sub (local.get $length) (i32.const 4)))
      (local.set $to (local.get $grams))
      (loop $more
        (local.set $trigrams
          (i32x4.add
            (i32x4.add
              (i32x4.mul (v128.load16x4_u offset=6 (local.get $at)) (i32x4.splat (i32.const 0x45414669)))
              (i32x4.mul (v128.load16x4_u offset=8 (local.get $at)) (i32x4.splat (i32.const 0x2c1b3c6d))))
            (v128.bitselect
              (i32x4.splat (i32.const 1))
              (v128.load16x4_u offset=10 (local.get $at))
              (i32x4.gt_s (v128.const i32x4 2 3 4 5) (i32x4.splat (local.get $rest))))))
        (local.set $fourgrams
          (i32x4.add
            (i32x4.add (local.get $trigrams) (i32x4.splat (i32.const 0x7f4a7c15)))
            (i32x4.mul (v128.load16x4_u offset=4 (local.get $at)) (i32x4.splat (i32.const 0x425e96b5)))))
        (local.set $trigrams (i32x4.add (local.get $trigrams) (i32x4.splat (i32.const 0x9e3779b9))))
        (v128.store offset=44 align=4 (local.get $to)
          (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23
            (local.get $trigrams) (local.get $fourgrams)))
        (v128.store offset=60 align=4 (local.get $to)
          (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31
            (local.get $trigrams) (local.get $fourgrams)))
        (v128.store offset=8214 align=2 (i32.shr_u (local.get $to) (i32.const 1)) (local.get $kinds4))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (local.set $to (i32.add (local.get $to) (i32.const 32)))
        (local.set $rest (i32.sub (local.get $rest) (i32.const 4)))
        (br_if $more (i32.gt_s (local.get $rest) (i32.const 0))))
      ;; The hash of the word is one of these, unless it is longer.
      (local.set $hash (i32.mul
        (i32.xor (i32.const 0x811c9dc5) (i32.load16_u (local.get $word)))
        (i32.const 0x2c1b3c6d)))
      (i32.store offset=10688 (i32.const 0) (local.get $hash))
      (local.set $hash (i32.mul
        (i32.xor (local.get $hash) (i32.load16_u offset=2 (local.get $word)))
        (i32.const 0x2c1b3c6d)))
      (i32.store offset=10692 (i32.const 0) (local.get $hash))
      (local.set $hash (i32.mul
        (i32.xor (local.get $hash) (i32.load16_u offset=4 (local.get $word)))
        (i32.const 0x2c1b3c6d)))
      (i32.store offset=10696 (i32.const 0) (local.get $hash))
      (local.set $hash (i32.mul
        (i32.xor (local.get $hash) (i32.load16_u offset=6 (local.get $word)))
        (i32.const 0x2c1b3c6d)))
      (i32.store offset=10700 (i32.const 0) (local.get $hash))
      (local.set $hash (i32.mul
        (i32.xor (local.get $hash) (i32.load16_u offset=8 (local.get $word)))
        (i32.const 0x2c1b3c6d)))
      (i32.store offset=10704 (i32.const 0) (local.get $hash))
      (local.set $hash (i32.mul
        (i32.xor (local.get $hash) (i32.load16_u offset=10 (local.get $word)))
        (i32.const 0x2c1b3c6d)))
      (i32.store offset=10708 (i32.const 0) (local.get $hash))
      (local.set $hash (i32.mul
        (i32.xor (local.get $hash) (i32.load16_u offset=12 (local.get $word)))
        (i32.const 0x2c1b3c6d)))
      (i32.store offset=10712 (i32.const 0) (local.get $hash))
      (local.set $hash (i32.mul
        (i32.xor (local.get $hash) (i32.load16_u offset=14 (local.get $word)))
        (i32.const 0x2c1b3c6d)))
      (i32.store offset=10716 (i32.const 0) (local.get $hash))
      (local.set $hash (i32.load offset=10684
        (i32.shl (select (local.get $length) (i32.const 8) (i32.lt_u (local.get $length) (i32.const 8)))
          (i32.const 2))))
      (if (i32.gt_u (local.get $length) (i32.const 8)) (then
        (local.set $at (i32.add (local.get $word) (i32.const 16)))
        (local.set $rest (i32.add (local.get $word) (i32.shl (local.get $length) (i32.const 1))))
        (loop $more
          (local.set $hash
            (i32.mul (i32.xor (local.get $hash) (i32.load16_u (local.get $at))) (i32.const 0x2c1b3c6d)))
          (local.set $at (i32.add (local.get $at) (i32.const 2)))
          (br_if $more (i32.lt_u (local.get $at) (local.get $rest))))))
      ;; Never 0, which stands for no word.
      (local.set $hash (select (local.get $hash) (i32.const 1) (local.get $hash)))
      ;; Four copies of the word, each of another hash.
      (v128.store align=4 (local.get $noted)
        (i32x4.add
          (i32x4.splat (local.get $hash))
          (v128.const i32x4 0 0x5bd1e995 0xb7a3d32a 0x1375bcbf)))
      (i32.store offset=8192 align=2 (i32.shr_u (local.get $noted) (i32.const 1)) (local.get $kinds))
      (i32.store offset=8196 align=2 (i32.shr_u (local.get $noted) (i32.const 1)) (local.get $kinds))
      ;; The pair with the word before, which the first 3-gram writes over if there is none.
      (i32.store offset=16 (local.get $noted)
        (i32.xor (i32.const 0x51ed270b)
          (i32.add (i32.mul (local.get $previousWord) (i32.const 0x2c1b3c6d)) (local.get $hash))))
      (i32.store16 offset=8200 (i32.shr_u (local.get $noted) (i32.const 1))
        (i32.or (local.get $kinds) (i32.const 16)))
      (local.set $previousWord (local.get $hash))
      (v128.store32_lane offset=16 0 (local.get $grams) (local.get $firstTrigrams))
      (i32.store16 offset=8200 (local.get $gramKinds) (i32.or (local.get $kinds) (i32.const 32)))
      (local.set $noted
        (i32.add (local.get $grams) (i32.add (i32.const 12) (i32.shl (local.get $length) (i32.const 3)))))
      (br_if $next (i64.ne (local.get $bits) (i64.const 0))))
    (global.set $noted (local.get $noted))
    (global.set $previousWord (local.get $previousWord)))

  ;; Notes one word of any length.
  (func $noteLongWord (param $at i32) (param $end i32)
    (local $word i32) (local $first i32) (local $second i32) (local $third i32) (local $fourth i32) (local $trigram i32)
    (local $noted i32)
    (local.set $word (call $hashOf (local.get $at) (local.get $end)))
    (call $note (local.get $word) (i32.const 0))
    (call $note (i32.add (local.get $word) (i32.const 0x5bd1e995)) (i32.const 0))
    (call $note (i32.add (local.get $word) (i32.const 0xb7a3d32a)) (i32.const 0))
    (call $note (i32.add (local.get $word) (i32.const 0x1375bcbf)) (i32.const 0))
    (if (global.get $previousWord) (then
      (call $note
        (i32.xor (i32.const 0x51ed270b)
          (i32.add (i32.mul (global.get $previousWord) (i32.const 0x2c1b3c6d)) (local.get $word)))
        (i32.const 16))))
    (global.set $previousWord (local.get $word))
    (local.set $noted (global.get $noted))
    (local.set $second (i32.const 1))
    (local.set $third (i32.load16_u (local.get $at)))
    (loop $next
      (if (i32.gt_u (local.get $noted) (i32.const 4088)) (then
        (global.set $noted (local.get $noted))
        (call $addNoted)
        (local.set $noted (i32.const 0))))
      (local.set $at (i32.add (local.get $at) (i32.const 2)))
      (local.set $fourth
        (if (result i32) (i32.lt_u (local.get $at) (local.get $end))
          (then (i32.load16_u (local.get $at)))
          (else (i32.const 1))))
      (local.set $trigram
        (i32.add
          (i32.add
            (i32.mul (local.get $second) (i32.const 0x45414669))
            (i32.mul (local.get $third) (i32.const 0x2c1b3c6d)))
          (local.get $fourth)))
      (i32.store (local.get $noted) (i32.add (i32.const 0x9e3779b9) (local.get $trigram)))
      ;; The kinds of both, of which the second may be written over.
      (i32.store offset=8192 align=2 (i32.shr_u (local.get $noted) (i32.const 1)) (i32.const 0x00300020))
      (local.set $noted (i32.add (local.get $noted) (i32.const 4)))
      (if (local.get $first) (then
        (i32.store (local.get $noted)
          (i32.add
            (i32.add (i32.const 0x7f4a7c15) (i32.mul (local.get $first) (i32.const 0x425e96b5)))
            (local.get $trigram)))
        (local.set $noted (i32.add (local.get $noted) (i32.const 4)))))
      (local.set $first (local.get $second))
      (local.set $second (local.get $third))
      (local.set $third (local.get $fourth))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
    (global.set $noted (local.get $noted)))

  ;; A vector of zeros, and nothing noted.
  (func $begin (param $dimensions i32)
    (global.set $dimensions (local.get $dimensions))
    (global.set $previousWord (i32.const 0))
    (global.set $inverse (i32.div_u (i32.const -1) (local.get $dimensions)))
    (memory.fill (i32.const 12288) (i32.const 0) (i32.shl (local.get $dimensions) (i32.const 2))))

  (func $note (param $hash i32) (param $kind i32)
    (if (i32.gt_u (global.get $noted) (i32.const 4092)) (then (call $addNoted)))
    (i32.store (global.get $noted) (local.get $hash))
    (i32.store16 offset=8192 (i32.shr_u (global.get $noted) (i32.const 1)) (local.get $kind))
    (global.set $noted (i32.add (global.get $noted) (i32.const 4))))

  ;; The pair that the ideograph at $at makes with one before it.
  (func $notePair (param $text i32) (param $at i32)
    (local $previous i32)
    (if (i32.eq (local.get $at) (local.get $text)) (then (return)))
    (local.set $previous (i32.load16_u (i32.sub (local.get $at) (i32.const 2))))
    (if (i32.eqz (call $isIdeograph (local.get $previous))) (then (return)))
    (call $note
      (i32.xor (i32.const 0x51ed270b)
        (i32.add
          (i32.mul (local.get $previous) (i32.const 0x2c1b3c6d))
          (i32.load16_u (local.get $at))))
      (i32.const 144)))

  ;; Adds each weight that was noted, with the sign that its hash gives, to the dimension that its hash gives.
  (func $addNoted
    (local $at i32) (local $end i32) (local $place i32)
    (local $hashes v128) (local $places v128) (local $dimensions v128) (local $inverse v128)
    (local.set $end (global.get $noted))
    (global.set $noted (i32.const 0))
    (if (i32.eqz (local.get $end)) (then (return)))
    (local.set $dimensions (i32x4.splat (global.get $dimensions)))
    (local.set $inverse (i32x4.splat (global.get $inverse)))
    ;; What is missing to eight weighs nothing, and adding that changes no bit: no sum is ever -0.
    (v128.store offset=8192 align=2 (i32.shr_u (local.get $end) (i32.const 1)) (i16x8.splat (i32.const 160)))
    (local.set $end (i32.and (i32.add (local.get $end) (i32.const 31)) (i32.const -32)))
    (loop $next
      ;; The last steps of MurmurHash3 (fmix32): the low bits of a polynomial hash alone are not random.
      (local.set $hashes (v128.load (local.get $at)))
      (local.set $hashes (v128.xor (local.get $hashes) (i32x4.shr_u (local.get $hashes) (i32.const 16))))
      (local.set $hashes (i32x4.mul (local.get $hashes) (i32x4.splat (i32.const 0x85ebca6b))))
      (local.set $hashes (v128.xor (local.get $hashes) (i32x4.shr_u (local.get $hashes) (i32.const 13))))
      (local.set $hashes (i32x4.mul (local.get $hashes) (i32x4.splat (i32.const 0xc2b2ae35))))
      (local.set $hashes (v128.xor (local.get $hashes) (i32x4.shr_u (local.get $hashes) (i32.const 16))))
      ;; The lowest bit is the sign.
      (v128.store offset=4096 (local.get $at)
        (i32x4.add
          (v128.load16x4_u offset=8192 (i32.shr_u (local.get $at) (i32.const 1)))
          (v128.and (i32x4.shl (local.get $hashes) (i32.const 3)) (i32x4.splat (i32.const 8)))))
      ;; The upper 31 bits, modulo $dimensions. The quotient is the upper half of a product with $inverse, or one more:
      ;; of less than 2^31, less than a half is lost to the rounding of $inverse. So the remainder is right, or too large
      ;; by $dimensions, and what is negative counts as large.
      (local.set $places (i32x4.shr_u (local.get $hashes) (i32.const 1)))
      (local.set $places
        (i32x4.sub
          (local.get $places)
          (i32x4.mul
            (local.get $dimensions)
            (i8x16.shuffle 4 5 6 7 12 13 14 15 20 21 22 23 28 29 30 31
              (i64x2.extmul_low_i32x4_u (local.get $places) (local.get $inverse))
              (i64x2.extmul_high_i32x4_u (local.get $places) (local.get $inverse))))))
      (v128.store (local.get $at)
        (i32x4.shl
          (i32x4.min_u
            (local.get $places)
            (i32x4.sub (local.get $places) (local.get $dimensions)))
          (i32.const 2)))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
    ;; In a loop of its own: where all the places are known before, a processor need not guess which of the sums that it
    ;; loads is still to be stored.
    (local.set $at (i32.const 0))
    (loop $next
      (local.set $place (i32.load (local.get $at)))
      (f32.store offset=12288 (local.get $place)
        (f32.demote_f64 (f64.add
          (f64.promote_f32 (f32.load offset=12288 (local.get $place)))
          (f64.load offset=10496 (i32.load offset=4096 (local.get $at))))))
      (local.set $place (i32.load offset=4 (local.get $at)))
      (f32.store offset=12288 (local.get $place)
        (f32.demote_f64 (f64.add
          (f64.promote_f32 (f32.load offset=12288 (local.get $place)))
          (f64.load offset=10496 (i32.load offset=4100 (local.get $at))))))
      (local.set $place (i32.load offset=8 (local.get $at)))
      (f32.store offset=12288 (local.get $place)
        (f32.demote_f64 (f64.add
          (f64.promote_f32 (f32.load offset=12288 (local.get $place)))
          (f64.load offset=10496 (i32.load offset=4104 (local.get $at))))))
      (local.set $place (i32.load offset=12 (local.get $at)))
      (f32.store offset=12288 (local.get $place)
        (f32.demote_f64 (f64.add
          (f64.promote_f32 (f32.load offset=12288 (local.get $place)))
          (f64.load offset=10496 (i32.load offset=4108 (local.get $at))))))
      (local.set $place (i32.load offset=16 (local.get $at)))
      (f32.store offset=12288 (local.get $place)
        (f32.demote_f64 (f64.add
          (f64.promote_f32 (f32.load offset=12288 (local.get $place)))
          (f64.load offset=10496 (i32.load offset=4112 (local.get $at))))))
      (local.set $place (i32.load offset=20 (local.get $at)))
      (f32.store offset=12288 (local.get $place)
        (f32.demote_f64 (f64.add
          (f64.promote_f32 (f32.load offset=12288 (local.get $place)))
          (f64.load offset=10496 (i32.load offset=4116 (local.get $at))))))
      (local.set $place (i32.load offset=24 (local.get $at)))
      (f32.store offset=12288 (local.get $place)
        (f32.demote_f64 (f64.add
          (f64.promote_f32 (f32.load offset=12288 (local.get $place)))
          (f64.load offset=10496 (i32.load offset=4120 (local.get $at))))))
      (local.set $place (i32.load offset=28 (local.get $at)))
      (f32.store offset=12288 (local.get $place)
        (f32.demote_f64 (f64.add
          (f64.promote_f32 (f32.load offset=12288 (local.get $place)))
          (f64.load offset=10496 (i32.load offset=4124 (local.get $at))))))
      (local.set $at (i32.add (local.get $at) (i32.const 32)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end)))))

  ;; 0 when the vector has no direction.
  (func $scaleToUnit (result i32)
    (local $at i32) (local $end i32) (local $value f64) (local $squares f64) (local $scale f64)
    (local.set $end (i32.shl (global.get $dimensions) (i32.const 2)))
    (loop $next
      (local.set $value (f64.promote_f32 (f32.load offset=12288 (local.get $at))))
      (local.set $squares (f64.add (local.get $squares) (f64.mul (local.get $value) (local.get $value))))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
    ;; Weights that cancel leave rounding errors behind, which are no direction either.
    (if (f64.lt (local.get $squares) (f64.const 1e-9)) (then (return (i32.const 0))))
    (local.set $scale (f64.div (f64.const 1) (f64.sqrt (local.get $squares))))
    (local.set $at (i32.const 0))
    (loop $next
      (f32.store offset=12288 (local.get $at)
        (f32.demote_f64 (f64.mul (f64.promote_f32 (f32.load offset=12288 (local.get $at))) (local.get $scale))))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
    (i32.const 1))

  (func $hashOf (param $at i32) (param $end i32) (result i32)
    (local $hash i32)
    (local.set $hash (i32.const 0x811c9dc5))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
      (local.set $hash
        (i32.mul (i32.xor (local.get $hash) (i32.load16_u (local.get $at))) (i32.const 0x2c1b3c6d)))
      (local.set $at (i32.add (local.get $at) (i32.const 2)))
      (br $next)))
    (select (local.get $hash) (i32.const 1) (local.get $hash)))

  ;; Whether words are spelled with it: one of a word, and no ideograph.
  (func $isSpelled (param $unit i32) (result i32)
    (if (i32.lt_u (local.get $unit) (i32.const 0x80)) (then (return
      (i32.or
        (i32.lt_u (i32.sub (local.get $unit) (i32.const 97)) (i32.const 26))
        (i32.lt_u (i32.sub (local.get $unit) (i32.const 48)) (i32.const 10))))))
    (i32.and
      (call $isWordUnit (local.get $unit))
      (i32.eqz (call $isIdeograph (local.get $unit)))))

  ;; From CJK and its neighbours on, words are not set apart by spaces; surrogates are no ideographs.
  (func $isIdeograph (param $unit i32) (result i32)
    (i32.and
      (i32.or
        (i32.lt_u (i32.sub (local.get $unit) (i32.const 0x2e80)) (i32.const 0xa980))
        (i32.lt_u (i32.sub (local.get $unit) (i32.const 0xe000)) (i32.const 0x1b00)))
      (call $isWordUnit (local.get $unit))))

  ;; From 0x80 on: letters and, beyond Latin-1, all that is not punctuation; surrogates (emoji) too.
  (func $isWordUnit (param $unit i32) (result i32)
    (if (i32.lt_u (local.get $unit) (i32.const 0xc0)) (then (return
      (i32.or
        (i32.eq (local.get $unit) (i32.const 0xaa))
        (i32.or
          (i32.eq (local.get $unit) (i32.const 0xb5))
          (i32.eq (local.get $unit) (i32.const 0xba)))))))
    (i32.eqz (i32.or
      (i32.or
        (i32.eq (local.get $unit) (i32.const 0xd7))
        (i32.eq (local.get $unit) (i32.const 0xf7)))
      (i32.or
        (i32.lt_u (i32.sub (local.get $unit) (i32.const 0x2000)) (i32.const 0x70))
        (i32.or
          (i32.lt_u (i32.sub (local.get $unit) (i32.const 0x3000)) (i32.const 0x40))
          (i32.eq (local.get $unit) (i32.const 0xfeff))))))))
