# what: classes compiled by a plugin of the local repository
# packages: maven default-jdk-headless libmaven-compiler-plugin-java libmaven-resources-plugin-java
# timeout: 200
# ignore: ^home
# prepare
mkdir -p src/main/java; echo 'public class A { public static void main(String[] a) { System.out.println(6 * 7); } }' >src/main/java/A.java
echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>a</groupId><artifactId>a</artifactId><version>1</version><properties><maven.compiler.source>17</maven.compiler.source><maven.compiler.target>17</maven.compiler.target></properties></project>' >pom.xml
# run
mkdir home; export HOME=$PWD/home
mvn -B -o -q -Duser.home=$HOME -Dmaven.repo.local=/usr/share/maven-repo org.apache.maven.plugins:maven-compiler-plugin:3.10.1:compile; java -cp target/classes A; find target -name '*.class'; rm -rf home target
