// Counts words.
export interface Count {
    word: string;
    times: number;
}

export function count(text: string): Count[] {
    const seen = new Map<string, number>();
    for (const word of text.split(/\s+/)) {
        seen.set(word, (seen.get(word) ?? 0) + 1);
    }
    return [...seen].map(([word, times]) => ({ word, times }));
}
