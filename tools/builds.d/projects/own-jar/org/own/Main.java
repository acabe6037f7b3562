package org.own;

/** Says a word. */
public final class Main {
    private Main() {
    }

    /** @param words of the command line */
    public static void main(final String[] words) {
        System.out.println(String.join(" ", words));
    }
}
