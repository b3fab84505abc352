;; Futures whose reading ends are let go, and whose writing ends never are.
(component
  (type $f (future u32))
  (core func $new (canon future.new $f))
  (core func $drop (canon future.drop-readable $f))
  (core module $m
    (import "host" "new" (func $new (result i64)))
    (import "host" "drop" (func $drop (param i32)))
    (func $take
      (loop $again
        (call $drop (i32.wrap_i64 (call $new)))
        (br $again)))
    (start $take))
  (core instance (instantiate $m (with "host" (instance
    (export "new" (func $new))
    (export "drop" (func $drop)))))))
