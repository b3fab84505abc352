;; Sets to wait on, none of which is ever dropped.
(component
  (core func $new (canon waitable-set.new))
  (core module $m
    (import "host" "new" (func $new (result i32)))
    (func $take
      (loop $again
        (drop (call $new))
        (br $again)))
    (start $take))
  (core instance (instantiate $m (with "host" (instance (export "new" (func $new)))))))
