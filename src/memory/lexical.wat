;; The lexical embedding of one text (lexical.ts says what it is): its features are noted as a hash and a weight each,
;; and added to the vector a thousand at a time, four hashes mixed at once (WebAssembly SIMD).
;;
;; Memory, from 0 on: 1,024 hashes (i32), as many weights (f64), the vector (f32), then the text (UTF-16). Features are
;; added in the order in which the text has them, so every machine computes the same bits. Addresses are in bytes and
;; unsigned; nothing is checked here, that is the caller's.
;;
;; Hashes are polynomials over UTF-16 units modulo 2^32, with the multiplier 0x2c1b3c6d. What keeps the kinds of features
;; apart: 0x811c9dc5 words, 0x51ed270b pairs, 0x9e3779b9 and 0x7f4a7c15 3- and 4-grams, 0x3c6ef372 a text as a whole;
;; 0x5bd1e995 the copies of a word.
(module
  (memory (export "memory") 1)

  (global $dimensions (mut i32) (i32.const 1))
  ;; Division by $dimensions of what has 31 bits, as a multiplication and a shift (Granlund and Montgomery,
  ;; "Division by Invariant Integers using Multiplication", PLDI 1994, theorem 4.2).
  (global $inverse (mut i32) (i32.const 0))
  (global $shift (mut i32) (i32.const 0))
  ;; Where the next feature's hash goes.
  (global $noted (mut i32) (i32.const 0))
  ;; The hash of the word before, 0 for none.
  (global $previousWord (mut i32) (i32.const 0))

  ;; Writes to the vector at 12288 the embedding of the UTF-16 units from $text to $end.
  (func (export "embed") (param $text i32) (param $end i32) (param $dimensions i32)
    (local $at i32) (local $to i32) (local $unit i32) (local $hash i32)
    (call $begin (local.get $dimensions))
    (local.set $at (local.get $text))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
      (local.set $unit (i32.load16_u (local.get $at)))
      (local.set $to (i32.add (local.get $at) (i32.const 2)))
      (if (call $isSpelled (local.get $unit))
        (then
          ;; A word: its end and its hash. Letters of ASCII and a space are looked at here, a call for each takes longer.
          (local.set $hash
            (i32.mul (i32.xor (i32.const 0x811c9dc5) (local.get $unit)) (i32.const 0x2c1b3c6d)))
          (block $over (loop $more
            (br_if $over (i32.ge_u (local.get $to) (local.get $end)))
            (local.set $unit (i32.load16_u (local.get $to)))
            (if (i32.ge_u (i32.sub (local.get $unit) (i32.const 97)) (i32.const 26)) (then
              (br_if $over (i32.eq (local.get $unit) (i32.const 32)))
              (br_if $over (i32.eqz (call $isSpelled (local.get $unit))))))
            (local.set $hash (i32.mul (i32.xor (local.get $hash) (local.get $unit)) (i32.const 0x2c1b3c6d)))
            (local.set $to (i32.add (local.get $to) (i32.const 2)))
            (br $more)))
          ;; Never 0, which stands for no word.
          (call $noteWord (local.get $at) (local.get $to)
            (select (local.get $hash) (i32.const 1) (local.get $hash))))
        (else (if (call $isIdeograph (local.get $unit)) (then
          (call $note
            (i32.xor (i32.const 0x811c9dc5) (i32.mul (local.get $unit) (i32.const 0x2c1b3c6d)))
            (f64.const 0.6))
          (call $notePair (local.get $text) (local.get $at))))))
      (local.set $at (local.get $to))
      (br $next)))
    (call $addNoted)
    (if (call $scaleToUnit) (then (return)))
    ;; Nothing but punctuation, or features that cancelled each other: the text as a whole is the feature.
    (call $begin (local.get $dimensions))
    (call $note
      (i32.xor (i32.const 0x3c6ef372) (call $hashOf (local.get $text) (local.get $end)))
      (f64.const 1))
    (call $addNoted))

  ;; A vector of zeros, and nothing noted.
  (func $begin (param $dimensions i32)
    (local $bits i32)
    (global.set $dimensions (local.get $dimensions))
    (global.set $previousWord (i32.const 0))
    (local.set $bits (i32.sub (i32.const 32) (i32.clz (i32.sub (local.get $dimensions) (i32.const 1)))))
    (global.set $shift (i32.add (i32.const 31) (local.get $bits)))
    ;; 2^(31 + $bits) / $dimensions, rounded up.
    (global.set $inverse (i32.wrap_i64 (i64.div_u
      (i64.add
        (i64.shl (i64.const 1) (i64.extend_i32_u (global.get $shift)))
        (i64.extend_i32_u (i32.sub (local.get $dimensions) (i32.const 1))))
      (i64.extend_i32_u (local.get $dimensions)))))
    (memory.fill (i32.const 12288) (i32.const 0) (i32.shl (local.get $dimensions) (i32.const 2))))

  (func $note (param $hash i32) (param $weight f64)
    (call $makeRoom)
    (i32.store (global.get $noted) (local.get $hash))
    (f64.store offset=4096 (i32.shl (global.get $noted) (i32.const 1)) (local.get $weight))
    (global.set $noted (i32.add (global.get $noted) (i32.const 4))))

  ;; For what is noted at once, which is 5 at most.
  (func $makeRoom
    (if (i32.gt_u (global.get $noted) (i32.const 4064)) (then (call $addNoted))))

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
      (f64.const 1)))

  ;; One word, whose hash is $word, its pair with the word before, and its n-grams.
  (func $noteWord (param $at i32) (param $end i32) (param $word i32)
    (local $noted i32) (local $factor f64) (local $weight f64) (local $trigramWeight f64) (local $fourgramWeight f64)
    (local $first i32) (local $second i32) (local $third i32) (local $fourth i32) (local $trigram i32)
    ;; Words of up to 3 units count for less.
    (local.set $factor (select (f64.const 0.35) (f64.const 1)
      (i32.le_u (i32.sub (local.get $end) (local.get $at)) (i32.const 6))))
    (local.set $weight (f64.mul (f64.const 0.5) (local.get $factor)))
    (local.set $trigramWeight (f64.mul (f64.const 0.25) (local.get $factor)))
    (local.set $fourgramWeight (f64.mul (f64.const 0.3) (local.get $factor)))
    (call $makeRoom)
    (local.set $noted (global.get $noted))
    ;; Four copies of the word, each of another hash.
    (i32.store (local.get $noted) (local.get $word))
    (i32.store offset=4 (local.get $noted) (i32.add (local.get $word) (i32.const 0x5bd1e995)))
    (i32.store offset=8 (local.get $noted) (i32.add (local.get $word) (i32.const 0xb7a3d32a)))
    (i32.store offset=12 (local.get $noted) (i32.add (local.get $word) (i32.const 0x1375bcbf)))
    (f64.store offset=4096 (i32.shl (local.get $noted) (i32.const 1)) (local.get $weight))
    (f64.store offset=4104 (i32.shl (local.get $noted) (i32.const 1)) (local.get $weight))
    (f64.store offset=4112 (i32.shl (local.get $noted) (i32.const 1)) (local.get $weight))
    (f64.store offset=4120 (i32.shl (local.get $noted) (i32.const 1)) (local.get $weight))
    (local.set $noted (i32.add (local.get $noted) (i32.const 16)))
    (if (global.get $previousWord) (then
      (i32.store (local.get $noted)
        (i32.xor (i32.const 0x51ed270b)
          (i32.add (i32.mul (global.get $previousWord) (i32.const 0x2c1b3c6d)) (local.get $word))))
      (f64.store offset=4096 (i32.shl (local.get $noted) (i32.const 1))
        (f64.mul (f64.const 0.4) (local.get $factor)))
      (local.set $noted (i32.add (local.get $noted) (i32.const 4)))))
    (global.set $previousWord (local.get $word))
    ;; A window over the word between its two ends, which are 1.
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
      ;; Of the powers of the multiplier, the second and the third.
      (local.set $trigram
        (i32.add
          (i32.add
            (i32.mul (local.get $second) (i32.const 0x45414669))
            (i32.mul (local.get $third) (i32.const 0x2c1b3c6d)))
          (local.get $fourth)))
      (i32.store (local.get $noted) (i32.add (i32.const 0x9e3779b9) (local.get $trigram)))
      (f64.store offset=4096 (i32.shl (local.get $noted) (i32.const 1)) (local.get $trigramWeight))
      (local.set $noted (i32.add (local.get $noted) (i32.const 4)))
      (if (local.get $first) (then
        (i32.store (local.get $noted)
          (i32.add
            (i32.add (i32.const 0x7f4a7c15) (i32.mul (local.get $first) (i32.const 0x425e96b5)))
            (local.get $trigram)))
        (f64.store offset=4096 (i32.shl (local.get $noted) (i32.const 1)) (local.get $fourgramWeight))
        (local.set $noted (i32.add (local.get $noted) (i32.const 4)))))
      (local.set $first (local.get $second))
      (local.set $second (local.get $third))
      (local.set $third (local.get $fourth))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
    (global.set $noted (local.get $noted)))

  ;; Adds each weight that was noted, with the sign that its hash gives, to the dimension that its hash gives.
  (func $addNoted
    (local $at i32) (local $end i32) (local $place i32)
    (local $hashes v128) (local $places v128) (local $weights v128)
    (local.set $end (global.get $noted))
    (global.set $noted (i32.const 0))
    (if (i32.eqz (local.get $end)) (then (return)))
    ;; What is missing to four weighs nothing.
    (loop $pad
      (if (i32.and (local.get $end) (i32.const 12)) (then
        (f64.store offset=4096 (i32.shl (local.get $end) (i32.const 1)) (f64.const 0))
        (local.set $end (i32.add (local.get $end) (i32.const 4)))
        (br $pad))))
    (loop $next
      ;; The last steps of MurmurHash3 (fmix32): the low bits of a polynomial hash alone are not random.
      (local.set $hashes (v128.load (local.get $at)))
      (local.set $hashes (v128.xor (local.get $hashes) (i32x4.shr_u (local.get $hashes) (i32.const 16))))
      (local.set $hashes (i32x4.mul (local.get $hashes) (i32x4.splat (i32.const 0x85ebca6b))))
      (local.set $hashes (v128.xor (local.get $hashes) (i32x4.shr_u (local.get $hashes) (i32.const 13))))
      (local.set $hashes (i32x4.mul (local.get $hashes) (i32x4.splat (i32.const 0xc2b2ae35))))
      (local.set $hashes (v128.xor (local.get $hashes) (i32x4.shr_u (local.get $hashes) (i32.const 16))))
      ;; The upper 31 bits, modulo $dimensions, times 4 bytes.
      (local.set $places (i32x4.shr_u (local.get $hashes) (i32.const 1)))
      (local.set $places
        (i32x4.shl
          (i32x4.sub
            (local.get $places)
            (i32x4.mul
              (i32x4.splat (global.get $dimensions))
              (i8x16.shuffle 0 1 2 3 8 9 10 11 16 17 18 19 24 25 26 27
                (i64x2.shr_u
                  (i64x2.extmul_low_i32x4_u (local.get $places) (i32x4.splat (global.get $inverse)))
                  (global.get $shift))
                (i64x2.shr_u
                  (i64x2.extmul_high_i32x4_u (local.get $places) (i32x4.splat (global.get $inverse)))
                  (global.get $shift)))))
          (i32.const 2)))
      ;; The lowest bit is the sign.
      (local.set $hashes (i32x4.shl (local.get $hashes) (i32.const 31)))
      (local.set $weights
        (v128.xor
          (v128.load offset=4096 (i32.shl (local.get $at) (i32.const 1)))
          (i64x2.shl (i64x2.extend_low_i32x4_u (local.get $hashes)) (i32.const 32))))
      (local.set $place (i32x4.extract_lane 0 (local.get $places)))
      (f32.store offset=12288 (local.get $place)
        (f32.demote_f64 (f64.add
          (f64.promote_f32 (f32.load offset=12288 (local.get $place)))
          (f64x2.extract_lane 0 (local.get $weights)))))
      (local.set $place (i32x4.extract_lane 1 (local.get $places)))
      (f32.store offset=12288 (local.get $place)
        (f32.demote_f64 (f64.add
          (f64.promote_f32 (f32.load offset=12288 (local.get $place)))
          (f64x2.extract_lane 1 (local.get $weights)))))
      (local.set $weights
        (v128.xor
          (v128.load offset=4112 (i32.shl (local.get $at) (i32.const 1)))
          (i64x2.shl (i64x2.extend_high_i32x4_u (local.get $hashes)) (i32.const 32))))
      (local.set $place (i32x4.extract_lane 2 (local.get $places)))
      (f32.store offset=12288 (local.get $place)
        (f32.demote_f64 (f64.add
          (f64.promote_f32 (f32.load offset=12288 (local.get $place)))
          (f64x2.extract_lane 0 (local.get $weights)))))
      (local.set $place (i32x4.extract_lane 3 (local.get $places)))
      (f32.store offset=12288 (local.get $place)
        (f32.demote_f64 (f64.add
          (f64.promote_f32 (f32.load offset=12288 (local.get $place)))
          (f64x2.extract_lane 1 (local.get $weights)))))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
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
