;; Recursion with a large frame: the machine's stack and not the guest's own.
(component
  (core module $m
    (func $deeper (param i64) (result i64)
      (i64.add (call $deeper (i64.add (local.get 0) (i64.const 1))) (local.get 0)))
    (func $start (drop (call $deeper (i64.const 0))))
    (start $start))
  (core instance (instantiate $m)))
