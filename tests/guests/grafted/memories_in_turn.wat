;; Instances that come one after the other, each with a module and a memory of its own.
(component
  (core module $m (memory 1 4096)
    (func $grow (drop (memory.grow (i32.const 1024))))
    (start $grow))
  (core instance (instantiate $m))
  (core instance (instantiate $m))
  (core instance (instantiate $m))
  (core instance (instantiate $m))
  (core instance (instantiate $m)))
