;; Components that call each other, each with a stack as deep as it can have.
(component
  (component $inner
    (core module $m
      (func $deeper (param i64) (result i64)
        (i64.add (call $deeper (i64.add (local.get 0) (i64.const 1))) (local.get 0)))
      (func (export "f") (drop (call $deeper (i64.const 0)))))
    (core instance $i (instantiate $m))
    (func (export "f") (canon lift (core func $i "f"))))
  (component $outer
    (import "f" (func $f))
    (core func $lowered (canon lower (func $f)))
    (core module $m
      (import "h" "f" (func $f))
      (func $deeper (param i32)
        (if (local.get 0)
          (then (call $deeper (i32.sub (local.get 0) (i32.const 1))))
          (else (call $f))))
      (func (export "f") (call $deeper (i32.const 1000))))
    (core instance $i (instantiate $m (with "h" (instance (export "f" (func $lowered))))))
    (func (export "f") (canon lift (core func $i "f"))))
  (instance $a (instantiate $inner))
  (instance $b (instantiate $outer (with "f" (func $a "f"))))
  (instance $c (instantiate $outer (with "f" (func $b "f"))))
  (instance $d (instantiate $outer (with "f" (func $c "f"))))
  (component $first
    (import "f" (func $f))
    (core func $lowered (canon lower (func $f)))
    (core module $m (import "h" "f" (func $f)) (start $f))
    (core instance (instantiate $m (with "h" (instance (export "f" (func $lowered)))))))
  (instance (instantiate $first (with "f" (func $d "f")))))
