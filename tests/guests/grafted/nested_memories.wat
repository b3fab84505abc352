;; Components within each other, each with a memory of its own.
(component
  (component $c
    (core module $m (memory 1))
    (component $d
      (core module $m (memory 1))
      (core instance (instantiate $m))
      (core instance (instantiate $m))
      (core instance (instantiate $m))
      (core instance (instantiate $m)))
    (core instance (instantiate $m))
    (instance (instantiate $d)))
  (instance (instantiate $c))
  (instance (instantiate $c))
  (instance (instantiate $c))
  (instance (instantiate $c)))
