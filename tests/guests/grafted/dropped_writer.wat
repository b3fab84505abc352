;; The writing end of a future, let go without a value.
(component
  (type $f (future u32))
  (core func $new (canon future.new $f))
  (core func $drop (canon future.drop-writable $f))
  (core module $m
    (import "host" "new" (func $new (result i64)))
    (import "host" "drop" (func $drop (param i32)))
    (func $let_go
      (call $drop (i32.wrap_i64 (i64.shr_u (call $new) (i64.const 32)))))
    (start $let_go))
  (core instance (instantiate $m (with "host" (instance
    (export "new" (func $new))
    (export "drop" (func $drop)))))))
