;; A table of all the elements that one can have, and one that grows.
(component
  (core module $m
    (table 100000 funcref)
    (func $grow
      (loop $again
        (drop (table.grow (ref.null func) (i32.const 10000)))
        (br $again)))
    (start $grow))
  (core instance (instantiate $m)))
