/* A recursive descent parser. Depth is bounded, so that a damaged file cannot exhaust the stack. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

enum { DEPTH_MAX = 32 };

static struct json *parse_value(const char **at, int depth);

static void skip_blanks(const char **at)
{
    while (**at == ' ' || **at == '\t' || **at == '\n' || **at == '\r')
        (*at)++;
}

static bool accept(const char **at, char wanted)
{
    skip_blanks(at);
    if (**at != wanted)
        return false;
    (*at)++;
    return true;
}

static bool hex4(const char *at, unsigned *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++) {
        if (!isxdigit((unsigned char)at[i]))
            return false;
        *code = *code * 16 + (unsigned)(isdigit((unsigned char)at[i]) ? at[i] - '0' : (at[i] | 32) - 'a' + 10);
    }
    return true;
}

static char *put_utf8(char *out, unsigned code)
{
    static const struct { unsigned below, lead, bytes; } forms[] = {
        {0x80, 0x00, 1}, {0x800, 0xC0, 2}, {0x10000, 0xE0, 3}, {0x110000, 0xF0, 4},
    };
    int form = 0;
    while (code >= forms[form].below)
        form++;
    for (unsigned left = forms[form].bytes; left-- > 0; out++)
        *out = (char)(left + 1 == forms[form].bytes ? forms[form].lead | code >> 6 * left
                                                    : 0x80 | (code >> 6 * left & 0x3F));
    return out;
}

/* What follows a backslash; both pointers move on. Two surrogates make one character. */
static bool parse_escape(const char **at, char **out)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    unsigned code, low;
    if (**at != 'u') {
        const char *found = **at ? strchr(names, **at) : NULL;
        if (!found)
            return false;
        *(*out)++ = values[found - names];
        (*at)++;
        return true;
    }
    if (!hex4(*at + 1, &code))
        return false;
    *at += 5;
    if (code >= 0xD800 && code < 0xDC00) {
        if ((*at)[0] != '\\' || (*at)[1] != 'u' || !hex4(*at + 2, &low) || low < 0xDC00 || low > 0xDFFF)
            return false;
        *at += 6;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    *out = put_utf8(*out, code);
    return code != 0;
}

/* The next character of a string, plain or escaped; both pointers move on. */
static bool parse_character(const char **at, char **out)
{
    if (**at == '\\') {
        (*at)++;
        return parse_escape(at, out);
    }
    *(*out)++ = *(*at)++;
    return true;
}

/* A string after its opening quote. What it decodes to is never longer than what was written. */
static char *parse_text(const char **at)
{
    char *text = malloc(strlen(*at) + 1), *out = text;
    bool sound = true;
    while (sound && **at && **at != '"')
        sound = parse_character(at, &out);
    *out = '\0';
    if (sound && **at == '"') {
        (*at)++;
        return text;
    }
    free(text);
    return NULL;
}

static bool parse_member(const char **at, struct json *parent, int depth)
{
    char *key = NULL;
    if (parent->kind == JSON_OBJECT && (!accept(at, '"') || !(key = parse_text(at)) || !accept(at, ':'))) {
        free(key);
        return false;
    }
    struct json *value = parse_value(at, depth + 1);
    if (!value) {
        free(key);
        return false;
    }
    value->key = key;
    json_append(parent, value);
    return true;
}

static struct json *parse_members(const char **at, enum json_kind kind, char closing, int depth)
{
    struct json *parent = json_new(kind, NULL);
    if (accept(at, closing))
        return parent;
    do {
        if (!parse_member(at, parent, depth)) {
            json_free(parent);
            return NULL;
        }
    } while (accept(at, ','));
    if (accept(at, closing))
        return parent;
    json_free(parent);
    return NULL;
}

static struct json *parse_scalar(const char **at)
{
    static const struct { const char *word; enum json_kind kind; } words[] = {
        {"null", JSON_NULL}, {"false", JSON_FALSE}, {"true", JSON_TRUE},
    };
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i].word);
        if (strncmp(*at, words[i].word, length) == 0) {
            *at += length;
            return json_new(words[i].kind, NULL);
        }
    }
    size_t length = strspn(*at, "+-.0123456789eE");
    if (length == 0)
        return NULL;
    struct json *number = json_new(JSON_NUMBER, NULL);
    number->text = strndup(*at, length);
    *at += length;
    return number;
}

static struct json *parse_value(const char **at, int depth)
{
    if (depth > DEPTH_MAX)
        return NULL;
    if (accept(at, '{'))
        return parse_members(at, JSON_OBJECT, '}', depth);
    if (accept(at, '['))
        return parse_members(at, JSON_ARRAY, ']', depth);
    if (!accept(at, '"'))
        return parse_scalar(at);
    char *text = parse_text(at);
    if (!text)
        return NULL;
    struct json *string = json_new(JSON_STRING, NULL);
    string->text = text;
    return string;
}

struct json *json_parse(const char *text)
{
    struct json *value = parse_value(&text, 0);
    skip_blanks(&text);
    if (*text == '\0')
        return value;
    json_free(value);
    return NULL;
}
