;; A trap in functions whose names would move the cursor, set the title and forge our lines.
(component
  (core module $m
    (func $"\1b[2J\1b]0;owned\07\nbuild passed\n\e2\80\aeevil" unreachable)
    (start $"\1b[2J\1b]0;owned\07\nbuild passed\n\e2\80\aeevil"))
  (core instance (instantiate $m)))
