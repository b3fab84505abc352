;; Asks for an interface with one function, and claims to be a backend.
(component
  (import "IMPORT" (instance (export "f" (func))))
  (instance $nothing)
  (export "hm:backend/execution-backend@0.1.0" (instance $nothing)))
