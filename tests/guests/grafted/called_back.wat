;; Recursion by way of another: its import calls back, by a table that both have.
(component
  (core module $shared (table (export "table") 1 funcref))
  (core module $other
    (import "shared" "table" (table 1 funcref))
    (type $back (func (param i64) (result i64)))
    (func (export "call") (type $back)
      (i64.add
        (call_indirect (type $back) (i64.add (local.get 0) (i64.const 1)) (i32.const 0))
        (local.get 0))))
  (core module $m
    (import "shared" "table" (table 1 funcref))
    (import "other" "call" (func $call (param i64) (result i64)))
    (func $back (param i64) (result i64)
      (i64.add (call $call (i64.add (local.get 0) (i64.const 1))) (local.get 0)))
    (elem (i32.const 0) $back)
    (func $start (drop (call $call (i64.const 0))))
    (start $start))
  (core instance $of (instantiate $shared))
  (core instance $with (instantiate $other (with "shared" (instance $of))))
  (core instance (instantiate $m (with "shared" (instance $of)) (with "other" (instance $with)))))
