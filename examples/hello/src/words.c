/* Counts the words and lines of its standard input. */
#include <ctype.h>
#include <stdio.h>

int main(void) {
    unsigned long words = 0, lines = 0;
    int character, inside = 0;
    while ((character = getchar()) != EOF) {
        int blank = isspace(character) != 0;
        words += !blank && !inside;
        inside = !blank;
        lines += character == '\n';
    }
    if (ferror(stdin)) {
        perror("words");
        return 1;
    }
    printf("%lu words in %lu lines\n", words, lines);
    return 0;
}
