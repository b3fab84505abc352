;; A memory of four gibibytes from the start.
(component
  (core module $m (memory 65536))
  (core instance (instantiate $m)))
