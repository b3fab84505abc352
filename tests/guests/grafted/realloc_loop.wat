;; Asks the host for a list, and gives it room by a function that misbehaves.
(component
  (import "random" (instance $random
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
  (core module $memory
    (memory (export "memory") 1)
    (func $realloc (export "realloc") (param i32 i32 i32 i32) (result i32)
      (loop $again (br $again)) (i32.const 0)))
  (core instance $of (instantiate $memory))
  (core func $lowered
    (canon lower (func $random "get-random-bytes") (memory (core memory $of "memory")) (realloc (core func $of "realloc"))))
  (core module $m
    (import "h" "random" (func $random (param i64 i32)))
    (func $call (call $random (i64.const 100) (i32.const 0)))
    (start $call))
  (core instance (instantiate $m (with "h" (instance (export "random" (func $lowered)))))))
