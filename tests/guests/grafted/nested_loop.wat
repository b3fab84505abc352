;; The same in the third of four nested instances.
(component
  (component $quiet
    (core module $m (func $f) (start $f))
    (core instance (instantiate $m)))
  (component $loud
    (core module $m
      (func $spin (loop $again (br $again)))
      (start $spin))
    (core instance (instantiate $m)))
  (instance (instantiate $quiet))
  (instance (instantiate $quiet))
  (instance (instantiate $loud))
  (instance (instantiate $quiet)))
