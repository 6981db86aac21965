;; Dot products of one query with many rows, 16 float32 at a time (WebAssembly SIMD).
;;
;; Every vector takes `stride` bytes: a multiple of 64, padded with zeros. Four accumulators hide the
;; latency of the additions. The order of the additions is fixed, so every machine computes the same
;; bits. Addresses and sizes are in bytes and unsigned; nothing is checked here, that is the caller's.
(module
  (memory (export "memory") 0)

  ;; The dot product of the vectors at $left and $right.
  (func $dot (param $left i32) (param $right i32) (param $stride i32) (result f32)
    (local $end i32)
    (local $sum0 v128) (local $sum1 v128) (local $sum2 v128) (local $sum3 v128)
    (local.set $end (i32.add (local.get $left) (local.get $stride)))
    (loop $next
      (local.set $sum0 (f32x4.add (local.get $sum0)
        (f32x4.mul (v128.load (local.get $left)) (v128.load (local.get $right)))))
      (local.set $sum1 (f32x4.add (local.get $sum1)
        (f32x4.mul (v128.load offset=16 (local.get $left)) (v128.load offset=16 (local.get $right)))))
      (local.set $sum2 (f32x4.add (local.get $sum2)
        (f32x4.mul (v128.load offset=32 (local.get $left)) (v128.load offset=32 (local.get $right)))))
      (local.set $sum3 (f32x4.add (local.get $sum3)
        (f32x4.mul (v128.load offset=48 (local.get $left)) (v128.load offset=48 (local.get $right)))))
      (local.set $right (i32.add (local.get $right) (i32.const 64)))
      (br_if $next (i32.ne
        (local.tee $left (i32.add (local.get $left) (i32.const 64)))
        (local.get $end))))
    (local.set $sum0 (f32x4.add
      (f32x4.add (local.get $sum0) (local.get $sum1))
      (f32x4.add (local.get $sum2) (local.get $sum3))))
    (f32.add
      (f32.add (f32x4.extract_lane 0 (local.get $sum0)) (f32x4.extract_lane 1 (local.get $sum0)))
      (f32.add (f32x4.extract_lane 2 (local.get $sum0)) (f32x4.extract_lane 3 (local.get $sum0)))))

  ;; Writes to $scores, one float32 each, the dot products of $query with $count rows from $rows on.
  (func (export "scoreAll")
    (param $query i32) (param $rows i32) (param $count i32) (param $stride i32) (param $scores i32)
    (loop $next
      (if (local.get $count) (then
        (f32.store (local.get $scores)
          (call $dot (local.get $query) (local.get $rows) (local.get $stride)))
        (local.set $rows (i32.add (local.get $rows) (local.get $stride)))
        (local.set $scores (i32.add (local.get $scores) (i32.const 4)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))))

  ;; Replaces each of the $count row addresses (unsigned 32 bit) at $places by that row's dot product.
  (func (export "scoreAt") (param $query i32) (param $places i32) (param $count i32) (param $stride i32)
    (loop $next
      (if (local.get $count) (then
        (f32.store (local.get $places)
          (call $dot (local.get $query) (i32.load (local.get $places)) (local.get $stride)))
        (local.set $places (i32.add (local.get $places) (i32.const 4)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next))))))
