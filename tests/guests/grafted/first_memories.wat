;; Five memories of 62 MiB from the start: each is within the limit, all of them are not.
(component
  (core module $m
    (memory 992) (memory 992) (memory 992) (memory 992) (memory 992))
  (core instance (instantiate $m)))
