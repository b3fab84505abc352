;; A `start` function that goes round for ever: it runs while the component is instantiated.
(component
  (core module $m
    (func $spin (loop $again (br $again)))
    (start $spin))
  (core instance (instantiate $m)))
