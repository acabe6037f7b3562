# what: data written, read and summed
# packages: r-base-core
# timeout: 200
# run
Rscript -e 'write.csv(data.frame(x=1:10), "d.csv"); d <- read.csv("d.csv"); cat(sum(d$x), "\n"); saveRDS(d, "d.rds"); cat(nrow(readRDS("d.rds")), "\n")'; rm -f d.csv d.rds
