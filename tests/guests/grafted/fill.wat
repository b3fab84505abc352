;; Few instructions, much work: 190 MiB filled again and again.
(component
  (core module $m
    (memory 3040)
    (func $fill
      (loop $again
        (memory.fill (i32.const 0) (i32.const 7) (i32.const 199229440))
        (br $again)))
    (start $fill))
  (core instance (instantiate $m)))
