;; Handles to resources of its own, none of which is ever dropped.
(component
  (type $r (resource (rep i32)))
  (core func $new (canon resource.new $r))
  (core module $m
    (import "host" "new" (func $new (param i32) (result i32)))
    (func $take
      (loop $again
        (drop (call $new (i32.const 1)))
        (br $again)))
    (start $take))
  (core instance (instantiate $m (with "host" (instance (export "new" (func $new)))))))
