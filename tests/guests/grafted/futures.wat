;; Futures, of which neither end is ever dropped.
(component
  (type $f (future u32))
  (core func $new (canon future.new $f))
  (core module $m
    (import "host" "new" (func $new (result i64)))
    (func $take
      (loop $again
        (drop (call $new))
        (br $again)))
    (start $take))
  (core instance (instantiate $m (with "host" (instance (export "new" (func $new)))))))
