;; Asks the host for a list, and gives it room by a function that asks the host for another.
(component
  (import "random" (instance $random
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
  (core module $shared
    (memory (export "memory") 1)
    (table (export "table") 1 funcref))
  (core instance $of (instantiate $shared))
  (core module $room
    (import "shared" "table" (table 1 funcref))
    (type $ask (func (param i64 i32)))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (call_indirect (type $ask) (i64.const 100) (i32.const 0) (i32.const 0))
      (i32.const 1024)))
  (core instance $with (instantiate $room (with "shared" (instance $of))))
  (core func $lowered
    (canon lower (func $random "get-random-bytes") (memory (core memory $of "memory")) (realloc (core func $with "realloc"))))
  (core module $m
    (import "shared" "table" (table 1 funcref))
    (import "h" "random" (func $random (param i64 i32)))
    (elem (i32.const 0) $random)
    (func $call (call $random (i64.const 100) (i32.const 0)))
    (start $call))
  (core instance (instantiate $m
    (with "shared" (instance $of))
    (with "h" (instance (export "random" (func $lowered)))))))
