;; Calls the host with a text whose length times its unit is more than an address holds.
(component
  (import "log" (instance $log
    (type $word (enum "trace" "debug" "info" "warn" "error"))
    (export "severity" (type $severity (eq $word)))
    (export "log" (func (param "severity" $severity) (param "message" string)))))
  (core module $memory (memory (export "memory") 1))
  (core instance $of (instantiate $memory))
  (core func $lowered
    (canon lower (func $log "log") (memory (core memory $of "memory")) string-encoding=utf16))
  (core module $m
    (import "h" "log" (func $log (param i32 i32 i32)))
    (func $call (call $log (i32.const 2) (i32.const 0) (i32.const 0x7fffffff)))
    (start $call))
  (core instance (instantiate $m (with "h" (instance (export "log" (func $lowered)))))))
