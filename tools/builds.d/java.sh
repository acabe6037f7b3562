# what: javac, jar and javadoc
# packages: default-jdk-headless
mkdir classes stage
find src/main/java -name '*.java' -exec javac -encoding UTF-8 -nowarn -d classes {} + 2>log
jar cf stage/classes.jar -C classes .
find src/main/java -name '*.java' -exec javadoc -quiet -Xdoclint:none -encoding UTF-8 -d stage/doc {} + 2>log
