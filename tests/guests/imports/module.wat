;; Asks for a core module.
(component
  (import "plugin" (core module))
  (instance $nothing)
  (export "hm:backend/execution-backend@0.1.0" (instance $nothing)))
