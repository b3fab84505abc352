# Each case: what goes in (as printf writes it), and what must come out.
failures=0
check() {
    actual=$(printf "$1" | "$WORDS")
    if [ "$actual" = "$2" ]; then
        echo "ok    $2"
    else
        echo "FAIL  '$1' gives '$actual', not '$2'"
        failures=$((failures + 1))
    fi
}
check '' '0 words in 0 lines'
check 'one' '1 words in 0 lines'
check 'one two\nthree\n' '3 words in 2 lines'
check '  spaced \t out \n\n' '2 words in 2 lines'
exit "$failures"
