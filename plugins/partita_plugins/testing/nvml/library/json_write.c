/* A tree as text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

static void write_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            fprintf(out, "\\u%04x", (unsigned)*text);
        else
            fputc(*text, out);
    fputc('"', out);
}

static void write_value(FILE *out, const struct json *value)
{
    static const char *words[] = {"null", "false", "true"};
    if (value->kind <= JSON_TRUE) {
        fputs(words[value->kind], out);
    } else if (value->kind == JSON_NUMBER) {
        fputs(value->text, out);
    } else if (value->kind == JSON_STRING) {
        write_text(out, value->text);
    } else {
        fputc(value->kind == JSON_OBJECT ? '{' : '[', out);
        json_each(child, value) {
            if (child != value->children)
                fputc(',', out);
            if (child->key) {
                write_text(out, child->key);
                fputc(':', out);
            }
            write_value(out, child);
        }
        fputc(value->kind == JSON_OBJECT ? '}' : ']', out);
    }
}

char *json_write(const struct json *value)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    write_value(out, value);
    fclose(out);
    return text;
}
