# what: manual pages by groff as PostScript, with the date of their making
# packages: groff
mkdir stage
groff -man -Tps page.1 >stage/page.ps
